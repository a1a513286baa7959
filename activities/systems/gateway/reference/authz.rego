# Who may use OPA's own API. Decisions are free; all else takes the token that OPA was started with.
package system.authz

default allow := false

allow if {
	input.method == "POST"
	input.path in [["v1", "data", "stanch", "gateway", "decision"], ["v1", "data", "stanch", "admission"]]
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}

allow if {
	token := opa.runtime().env.GATEWAY_OPA_TOKEN
	token != ""
	input.identity == token
}
