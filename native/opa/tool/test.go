package tool

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"

	"ztproxy.dev/opa/engine"
)

// Place is where something is in a policy file.
type Place struct {
	File string `json:"file"`
	Row  int    `json:"row"`
	Col  int    `json:"col"`
	Text string `json:"text"`
	Rule string `json:"rule"`
}

// Tested is what came of one test: pass, fail, error or skip.
type Tested struct {
	Package    string   `json:"package"`
	Name       string   `json:"name"`
	File       string   `json:"file"`
	Row        int      `json:"row"`
	Outcome    string   `json:"outcome"`
	DurationNS int64    `json:"duration_ns"`
	Message    string   `json:"message,omitempty"`
	Output     string   `json:"output,omitempty"`    // what print() said
	FailedAt   *Place   `json:"failed_at,omitempty"` // the expression of the test that was not true
	Causes     []Place  `json:"causes,omitempty"`    // the expressions of the policy that were not true on the way
	Trace      string   `json:"trace,omitempty"`
	Failed     []string `json:"failed_cases,omitempty"` // of a test with cases
}

// Covered is how much of a file the tests ran through.
type Covered struct {
	File           string   `json:"file"`
	Percent        float64  `json:"percent"`
	UncoveredLines [][2]int `json:"uncovered"` // from, to
}

// Report is the answer to test.
type Report struct {
	Errors
	Tests    []Tested  `json:"tests"`
	Passed   int       `json:"passed"`
	Failed   int       `json:"failed"`
	Skipped  int       `json:"skipped"`
	Percent  float64   `json:"percent"` // of the lines of the policy, the tests themselves left out
	Coverage []Covered `json:"coverage"`
}

func test(request Request) (any, error) {
	coverage := cover.New()
	run, err := runTests(request, coverage)
	if err != nil {
		return nil, err
	}
	report := Report{Errors: Errors{engine.Problems{}}, Tests: []Tested{}}
	for _, result := range run.results {
		one := tested(request, result, run)
		switch one.Outcome {
		case "pass":
			report.Passed++
		case "skip":
			report.Skipped++
		default:
			report.Failed++
		}
		report.Tests = append(report.Tests, one)
	}
	slices.SortFunc(report.Tests, func(a, b Tested) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Row, b.Row), cmp.Compare(a.Name, b.Name))
	})
	report.Percent, report.Coverage = coverageOf(request.Directory, coverage, run.modules)
	return report, nil
}

type testRun struct {
	results  []*tester.Result
	modules  map[string]*ast.Module
	compiler *ast.Compiler
	store    storage.Store
}

func runTests(request Request, coverage *cover.Cover) (*testRun, error) {
	caps, err := engine.Capabilities(request.AllowBuiltins)
	if err != nil {
		return nil, err
	}
	sources, err := engine.Read(request.Directory, true, caps)
	if err != nil {
		return nil, err
	}
	run := &testRun{modules: sources.Modules, store: inmem.NewFromObject(sources.Data)}
	run.compiler = ast.NewCompiler().WithStrict(true).WithCapabilities(caps).WithDefaultRegoVersion(ast.RegoV1).
		WithEnablePrintStatements(true).SetErrorLimit(0)
	runner := tester.NewRunner().SetCompiler(run.compiler).SetStore(run.store).SetModules(sources.Modules).
		CapturePrintOutput(true).RaiseBuiltinErrors(true).Filter(request.Filter).
		SetTimeout(time.Duration(request.TimeoutNS)).SetDefaultRegoVersion(ast.RegoV1).
		SetCoverageQueryTracer(coverage).SetCoverageRuns([]cover.Kind{})
	channel, err := runner.RunTests(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	for result := range channel {
		run.results = append(run.results, result)
	}
	return run, nil
}

func tested(request Request, result *tester.Result, run *testRun) Tested {
	one := Tested{
		Package: result.Package, Name: result.Name, Outcome: "pass", DurationNS: result.Duration.Nanoseconds(),
		Output: string(result.Output),
	}
	if result.Location != nil {
		one.File, one.Row = within(request.Directory, result.Location.File), result.Location.Row
	}
	switch {
	case result.Skip:
		one.Outcome = "skip"
	case result.Error != nil:
		one.Outcome, one.Message = "error", shortened(request.Directory, result.Error.Error())
	case result.Fail:
		one.Outcome = "fail"
		for names, sub := range result.SubResults.Iter {
			if sub.Fail && len(sub.SubResults) == 0 {
				one.Failed = append(one.Failed, strings.Join(names, " / "))
			}
		}
	}
	if one.Outcome != "fail" && one.Outcome != "error" {
		return one
	}
	if ref, err := ast.ParseRef(result.Package + "." + result.Name); err == nil {
		events := engine.Replay(run.compiler, run.store, ref, time.Duration(request.TimeoutNS))
		one.FailedAt, one.Causes = failures(request.Directory, result, events)
		one.Trace = shortened(request.Directory, pretty(events, "fails"))
	}
	return one
}

// maxCauses is how many expressions of the policy a failed test names.
const maxCauses = 20

// failures finds the last expression that failed in the file of the test, and those that failed elsewhere before it.
func failures(directory string, result *tester.Result, events []*topdown.Event) (at *Place, causes []Place) {
	rules := map[uint64]string{}
	var before []Place
	for _, event := range events {
		if rule, ok := event.Node.(*ast.Rule); ok {
			rules[event.QueryID] = rule.Head.Ref().String()
			continue
		}
		if event.Op != topdown.FailOp || event.Location == nil || event.Location.File == "" || result.Location == nil {
			continue
		}
		place := Place{within(directory, event.Location.File), event.Location.Row, event.Location.Col,
			string(event.Location.Text), rules[event.QueryID]}
		if event.Location.File == result.Location.File {
			at, causes = &place, before
		} else if !slices.Contains(before, place) && len(before) < maxCauses {
			before = append(before, place)
		}
	}
	return at, causes
}

func coverageOf(directory string, coverage *cover.Cover, modules map[string]*ast.Module) (float64, []Covered) {
	list := []Covered{}
	lines, covered := 0, 0
	for file, report := range coverage.Report(modules).Files {
		if engine.IsTest(file) || modules[file] == nil {
			continue
		}
		one := Covered{File: within(directory, file), Percent: report.Coverage, UncoveredLines: [][2]int{}}
		for _, part := range report.NotCovered {
			lines := [2]int{part.Start.Row, part.End.Row}
			if !slices.Contains(one.UncoveredLines, lines) {
				one.UncoveredLines = append(one.UncoveredLines, lines)
			}
		}
		lines += report.CoveredLines + report.NotCoveredLines
		covered += report.CoveredLines
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Covered) int { return cmp.Compare(a.File, b.File) })
	if lines == 0 {
		return 100, list
	}
	return 100 * float64(covered) / float64(lines), list
}
