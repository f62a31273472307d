"""The steps of a request that `path.py --steps` times, in the order in which a request meets them."""

from parts import Part

from ztproxy.edge import exchange, http1, request_ids, requests, response, tls
from ztproxy.identity import Identity
from ztproxy.identity.issuers.keys import Key
from ztproxy.identity.proofs import possession
from ztproxy.identity.proofs.replays import MemoryReplays
from ztproxy.limits.limiter import Limits
from ztproxy.observe.access import AccessLog
from ztproxy.observe.metrics import Metrics
from ztproxy.pipeline import Pipeline
from ztproxy.policy.embedded import EmbeddedEngine
from ztproxy.policy.stage import Authorizer
from ztproxy.routing import Routing
from ztproxy.upstream import connection, head
from ztproxy.upstream import response as upstream_response
from ztproxy.upstream.sending import Sending
from ztproxy.upstream.upstreams import Upstreams

STEPS = (
    Part("TLS: decrypting what came", tls.TlsWire, "data_received"),
    Part("HTTP/1.1: whose turn it is", http1.Http1, "received"),
    Part("HTTP/1.1: parsing (llhttp)", requests.Requests, "parse"),
    Part("reading the fields", requests, "read_fields"),
    Part("the canonical request", requests, "arrive"),
    Part("a request id", request_ids.RequestIds, "__call__"),
    Part("starting an exchange", exchange.Exchange, "start"),
    Part("the pipeline itself", Pipeline, "__call__"),
    Part("limits by address", Limits, "charge_source"),
    Part("routing", Routing, "route"),
    Part("identity: certificate, token", Identity, "identify"),
    Part("identity: what the token is bound to", possession.Possession, "check"),
    Part("identity: the proof, taken apart", possession, "take_apart"),
    Part("identity: the proof's signature", Key, "verifies"),
    Part("identity: whether the proof was used", MemoryReplays, "use"),
    Part("limits by identity", Limits, "admit"),
    Part("policy: the memo, or the input and the decision's reading", Authorizer, "authorize"),
    Part("policy: OPA", EmbeddedEngine, "evaluate"),
    Part("upstream: which, and its bookkeeping", Upstreams, "forward"),
    Part("upstream: the request's head", head.RequestHead, "write"),
    Part("upstream: sending", Sending, "_flush"),
    Part("upstream: taking what came", connection.Connection, "data_received"),
    Part("upstream: parsing the response (llhttp)", upstream_response.ResponseReader, "feed"),
    Part("response: its head", response.Response, "write_head"),
    Part("response: its content", response.Response, "write_content"),
    Part("TLS: encrypting the response", tls.TlsWire, "_send"),
    Part("the exchange's end", exchange.Exchange, "finish"),
    Part("access log", AccessLog, "finished"),
    Part("metrics", Metrics, "finished"),
)
