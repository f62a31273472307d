package tool

import "ztproxy.dev/opa/engine"

// Deps is what a policy's decision rests on, and where in the rules.
type Deps struct {
	Errors
	About engine.Description `json:"about"`
	engine.Uses
}

func deps(request Request) (any, error) {
	set, err := engine.Load(engine.Options{
		Directory: request.Directory, Entrypoint: request.Entrypoint, AllowBuiltins: request.AllowBuiltins,
	})
	if err != nil {
		return nil, err
	}
	defer set.Close()
	about, err := set.Describe()
	if err != nil {
		return nil, err
	}
	answer := Deps{Errors{engine.Problems{}}, about, set.Uses()}
	for _, list := range [][]engine.Use{answer.Input, answer.Calls} {
		for i := range list {
			list[i].File = within(request.Directory, list[i].File)
		}
	}
	return answer, nil
}
