# Whether a release may be deployed, by its digest. Asked by whatever deploys, before it does; see docs/gateway.md.
# Data: stanch.denied_digests: {digest: incident}
package stanch.admission

default allow := false

allow if {
	regex.match(`^(sha256:)?[0-9a-f]{64}$`, input.digest)
	not data.stanch.denied_digests[trim_prefix(input.digest, "sha256:")]
}

reason := data.stanch.denied_digests[trim_prefix(input.digest, "sha256:")]
