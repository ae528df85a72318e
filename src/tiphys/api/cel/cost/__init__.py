"""What evaluation costs: `calls` per function, `static` before any value is known.

One unit is about 50 ns of upstream's evaluator. Run-time cost is counted by the closures of `evaluate`.
Source: cel-go checker/cost.go, interpreter/runtimecost.go; staging/src/k8s.io/apiserver/pkg/cel/library/cost.go.
"""
