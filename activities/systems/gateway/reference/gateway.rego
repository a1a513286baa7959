# Who may send which request to the models. Asked by the gateway for every request; see docs/gateway.md.
# Data: stanch.clients, by the common name of the certificate: {"paths": [prefix, …], "keys": [SHA-256 of a key, …]}
package stanch.gateway

default decision := {"allow": false, "caller": "", "reason": "unknown"}

decision := {"allow": true, "caller": caller, "reason": ""} if {
	path_allowed
} else := {"allow": false, "caller": caller, "reason": "path"} if {
	caller
}

# A certificate names its client; a key beside it must be of the same one.
caller := input.name if {
	input.certificate != ""
	client := data.stanch.clients[input.name]
	key_fits(client)
}

# A key alone names its client too.
caller := name if {
	input.certificate == ""
	input.key != ""
	some name, client in data.stanch.clients
	input.key in client.keys
}

key_fits(_) if input.key == ""

key_fits(client) if input.key in client.keys

path_allowed if {
	some prefix in data.stanch.clients[caller].paths
	startswith(input.path, prefix)
	not contains(input.path, "..")
	not contains(input.path, "%")
	not contains(input.path, "//")
}
