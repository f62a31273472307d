module ztproxy.example/bench/load

go 1.25
