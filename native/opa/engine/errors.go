package engine

import (
	"errors"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
)

// Problem is one thing wrong with a policy set and where. Row and Col count from 1; 0 means not known.
type Problem struct {
	Message string `json:"message"`
	File    string `json:"file"`
	Row     int    `json:"row"`
	Col     int    `json:"col"`
	Code    string `json:"code"`
}

// Problems is the error of a policy set that cannot be used.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.File + ":" + strconv.Itoa(problem.Row) + ":" + strconv.Itoa(problem.Col) + ": " + problem.Message
	}
	return strings.Join(lines, "\n")
}

// ProblemsOf flattens OPA's kinds of error.
func ProblemsOf(err error) Problems {
	var list Problems
	var many ast.Errors
	var loading loader.Errors
	var one *ast.Error
	var done Problems
	switch {
	case err == nil:
		return nil
	case errors.As(err, &done):
		return done
	case errors.As(err, &loading):
		for _, e := range loading {
			list = append(list, ProblemsOf(e)...)
		}
	case errors.As(err, &many):
		for _, e := range many {
			list = append(list, ProblemsOf(e)...)
		}
	case errors.As(err, &one):
		list = append(list, compileProblem(one))
	default:
		list = append(list, fileProblem(err.Error()))
	}
	return list
}

func compileProblem(err *ast.Error) Problem {
	message := err.Message
	if err.Details != nil {
		for _, line := range err.Details.Lines() {
			message += "\n\t" + line
		}
	}
	problem := Problem{Message: message, Code: err.Code}
	if err.Location != nil {
		problem.File, problem.Row, problem.Col = err.Location.File, err.Location.Row, err.Location.Col
	}
	return problem
}

var (
	leadingFile = regexp.MustCompile(`^(?:open |stat )?([^:]+\.(?:json|yaml|yml|rego)): `)
	yamlLine    = regexp.MustCompile(`\bline (\d+)`)
)

// fileProblem finds the file, and a line where one is said, in the text of a data file's error.
func fileProblem(text string) Problem {
	problem := Problem{Message: text, Code: "load_error"}
	if match := leadingFile.FindStringSubmatch(text); match != nil {
		problem.File = match[1]
		problem.Message = strings.TrimPrefix(text, match[1]+": ")
	}
	if match := yamlLine.FindStringSubmatch(text); match != nil {
		problem.Row, _ = strconv.Atoi(match[1])
	}
	return problem
}

// Under makes file names relative to the directory they were read from.
func (p Problems) Under(directory string) Problems {
	for i := range p {
		if rel, err := filepath.Rel(directory, p[i].File); err == nil && p[i].File != "" && !strings.HasPrefix(rel, "..") {
			p[i].File = rel
		}
	}
	return p
}
