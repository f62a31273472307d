package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	_ "time/tzdata" // time.clock knows its zones on machines that have none

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/version"
)

// Options say what to load and how to evaluate it.
type Options struct {
	Directory     string   `json:"directory"`
	Entrypoint    string   `json:"entrypoint"`
	AllowBuiltins []string `json:"allow_builtins"`
	InlineSteps   uint32   `json:"inline_steps"` // how many steps an evaluation may take on the caller's thread
	InlineNS      int64    `json:"inline_ns"`    // how long it may hold that thread: so much by the clock, and as much again of the processor
	MaxPending    int      `json:"max_pending"`  // evaluations under way off the caller's thread; more are refused as busy
	Parallel      int      `json:"parallel"`     // how many of those run at once
	Shared        []string `json:"shared"`       // members of the input that many documents have alike, word for word
}

// Sources are the files of a policy directory, read and parsed but not compiled.
type Sources struct {
	Modules map[string]*ast.Module
	Data    map[string]any
	Files   []string
	hash    string
}

// Set is a compiled policy set, ready to be evaluated by any number of threads.
type Set struct {
	options    Options
	entrypoint ast.Ref
	compiler   *ast.Compiler
	store      storage.Store
	txn        storage.Transaction
	query      compiled
	rules      []*ast.Rule // those that the decision can rest on
	reads      *reads
	called     []string
	sources    *Sources

	inline    bool         // made of pure builtins alone
	overruns  atomic.Int32 // inline evaluations in a row that did not get done
	slowUntil atomic.Int64 // until when none is tried, in Unix nanoseconds
	queue     *queue
	kept      *kept
}

// IsTest tells whether a file holds tests.
func IsTest(name string) bool {
	return strings.HasSuffix(name, "_test.rego")
}

// Read reads a directory as OPA does: every .rego file is a module, every .json and .yaml file is data at the path of
// its folder. Names that begin with a dot are left out (Kubernetes mounts keep copies there); bundles are refused, they
// would be read unsigned.
func Read(directory string, tests bool, caps *ast.Capabilities) (*Sources, error) {
	info, err := os.Stat(directory)
	if err != nil {
		return nil, Problems{{Message: err.Error(), File: directory, Code: "load_error"}}
	}
	if !info.IsDir() {
		return nil, Problems{{Message: "is not a directory", File: directory, Code: "load_error"}}
	}
	sources := &Sources{}
	var refused Problems
	filter := func(path string, info fs.FileInfo, depth int) bool {
		name := info.Name()
		switch {
		case depth > 0 && strings.HasPrefix(name, "."), !tests && IsTest(name):
			return true
		case depth > 0 && strings.HasSuffix(name, ".tar.gz"):
			refused = append(refused, Problem{Message: "a bundle is not read from a directory", File: path, Code: "load_error"})
			return true
		}
		return false
	}
	loaded, err := loader.NewFileLoader().WithRegoVersion(ast.RegoV1).WithProcessAnnotation(true).
		WithCapabilities(caps).Filtered([]string{directory}, filter)
	if err == nil && refused != nil {
		err = refused
	}
	if err != nil {
		return nil, ProblemsOf(err).Under(directory)
	}
	sources.Modules = loaded.ParsedModules()
	sources.Data = loaded.Documents
	sources.Files = relative(directory, slices.Sorted(maps.Keys(sources.Modules)))
	sources.hash, err = hashOf(directory, loaded)
	return sources, err
}

func relative(directory string, files []string) []string {
	list := make([]string, len(files))
	for i, file := range files {
		if rel, err := filepath.Rel(directory, file); err == nil {
			file = rel
		}
		list[i] = filepath.ToSlash(file)
	}
	return list
}

// hashOf covers what was read, not the files as they may be by now.
func hashOf(directory string, loaded *loader.Result) (string, error) {
	type file struct{ Name, Text string }
	files := []file{}
	for _, module := range loaded.Modules { // keyed by a name without its root
		files = append(files, file{relative(directory, []string{module.Name})[0], string(module.Raw)})
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.Name, b.Name) })
	text, err := json.Marshal([]any{files, loaded.Documents}) // keys of maps come sorted
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Compile compiles strictly, with every error reported.
func Compile(sources *Sources, caps *ast.Capabilities, prints bool) (*ast.Compiler, storage.Store, error) {
	store := inmem.NewFromObjectWithOpts(sources.Data, inmem.OptReturnASTValuesOnRead(true))
	ctx := context.Background()
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer store.Abort(ctx, txn)
	compiler := ast.NewCompiler().WithStrict(true).WithCapabilities(caps).WithDefaultRegoVersion(ast.RegoV1).
		WithEnablePrintStatements(prints).WithPathConflictsCheck(storage.NonEmpty(ctx, store, txn)).SetErrorLimit(0)
	compiler.Compile(sources.Modules)
	if compiler.Failed() {
		return nil, nil, compiler.Errors
	}
	return compiler, store, nil
}

// EntrypointRef turns "ztproxy/authz/decision" into data.ztproxy.authz.decision.
func EntrypointRef(path string) (ast.Ref, error) {
	ref := ast.Ref{ast.DefaultRootDocument}
	for _, part := range strings.Split(path, "/") {
		if part == "" {
			return nil, fmt.Errorf("entrypoint %q: names are separated by single slashes, as in ztproxy/authz/decision", path)
		}
		ref = append(ref, ast.StringTerm(part))
	}
	return ref, nil
}

// CheckEntrypoint refuses an entrypoint that is no rule with a value.
func CheckEntrypoint(compiler *ast.Compiler, ref ast.Ref) error {
	rules := compiler.GetRulesExact(ref)
	if len(rules) == 0 {
		return Problems{{Message: fmt.Sprintf("entrypoint %s: there is no such rule", ref), Code: "entrypoint_error"}}
	}
	for _, rule := range rules {
		if len(rule.Head.Args) > 0 {
			problem := Problem{Message: fmt.Sprintf("entrypoint %s is a function", ref), Code: "entrypoint_error"}
			if rule.Location != nil {
				problem.File, problem.Row, problem.Col = rule.Location.File, rule.Location.Row, rule.Location.Col
			}
			return Problems{problem}
		}
	}
	return nil
}

// Load reads, compiles and prepares a policy set. Its error is Problems.
func Load(options Options) (set *Set, err error) {
	defer func() {
		if r := recover(); r != nil {
			set, err = nil, Problems{{Message: fmt.Sprintf("OPA failed: %v", r), Code: "internal_error"}}
		}
		if err != nil {
			err = ProblemsOf(err).Under(options.Directory)
		}
	}()
	ref, err := EntrypointRef(options.Entrypoint)
	if err != nil {
		return nil, err
	}
	caps, err := Capabilities(options.AllowBuiltins)
	if err != nil {
		return nil, err
	}
	sources, err := Read(options.Directory, false, caps)
	if err != nil {
		return nil, err
	}
	if len(sources.Modules) == 0 {
		return nil, errors.New("no .rego file in " + options.Directory)
	}
	compiler, store, err := Compile(sources, caps, false)
	if err != nil {
		return nil, err
	}
	if err := CheckEntrypoint(compiler, ref); err != nil {
		return nil, err
	}
	set = &Set{options: options, entrypoint: ref, compiler: compiler, store: store, sources: sources}
	if set.query, err = compileQuery(compiler, ref); err != nil {
		return nil, err
	}
	if set.txn, err = store.NewTransaction(context.Background()); err != nil {
		return nil, err
	}
	if err := set.analyse(); err != nil {
		return nil, err
	}
	set.kept = newKept(options.Shared)
	set.queue = newQueue(max(options.MaxPending, 1), max(options.Parallel, 1))
	return set, nil
}

// analyse finds out what the decision rests on: by our own reading of the rules, and by OPA's, whichever is wider.
func (s *Set) analyse() error {
	s.rules = reachable(s.compiler, s.entrypoint)
	s.reads, s.called = readsOf(s.rules), namesOf(calls(s.rules))
	s.inline = len(unrepeatable(s.called)) == 0
	input, _, err := dependsOn(s.compiler, s.entrypoint)
	for _, ref := range input {
		s.reads.add(ref[1:])
	}
	return err
}

// Description is what an operator or the memo wants to know of a policy set.
type Description struct {
	Revision         string     `json:"revision"`
	Entrypoint       string     `json:"entrypoint"`
	Files            []string   `json:"files"`
	Reads            []string   `json:"reads"`    // what the decision depends on, by OPA's analysis
	MayRead          []string   `json:"may_read"` // what any rule that it can rest on names; wider, and never narrower
	Places           [][]string `json:"places"`   // the same as lists of keys below the input
	Data             []string   `json:"data"`     // what of the data it depends on
	Builtins         []string   `json:"builtins"` // called by any rule that it can rest on
	Nondeterministic []string   `json:"nondeterministic"`
	Unrepeatable     []string   `json:"unrepeatable"` // builtins that keep the memo from remembering anything
	Clock            bool       `json:"clock"`
	Inline           bool       `json:"inline"`
}

// Describe tells what the set reads and calls.
func (s *Set) Describe() (Description, error) {
	input, data, err := dependsOn(s.compiler, s.entrypoint)
	if err != nil {
		return Description{}, err
	}
	return Description{
		Revision: s.revision(), Entrypoint: s.options.Entrypoint, Files: s.sources.Files,
		Reads: texts(input), MayRead: s.reads.paths(), Places: s.reads.steps(), Data: texts(data),
		Builtins: s.called, Nondeterministic: nondeterministic(s.called), Unrepeatable: unrepeatable(s.called),
		Clock: slices.Contains(s.called, clock), Inline: s.inline,
	}, nil
}

// revision is a hash over everything that the decision follows from beside input and time.
func (s *Set) revision() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{s.sources.hash, s.options.Entrypoint,
		strings.Join(slices.Sorted(slices.Values(s.options.AllowBuiltins)), ","), version.Version}, "\n")))
	return hex.EncodeToString(sum[:16])
}
