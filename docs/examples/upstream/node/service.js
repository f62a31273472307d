// A service behind ztproxy that says who asks: it believes the assertion and nothing else.
//
//   npm ci
//   ZTPROXY_JWKS=https://orders.corp.example/.well-known/ztproxy/jwks.json \
//   ZTPROXY_ISSUER=https://gateway.corp.example ZTPROXY_AUDIENCE=orders PORT=8080 node service.js
//
// NODE_EXTRA_CA_CERTS names a PEM file of the authority behind the gateway's certificate, where it is not a public one.

import { createServer } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";

const keys = createRemoteJWKSet(new URL(process.env.ZTPROXY_JWKS), {
  cacheMaxAge: 300_000, // milliseconds, as the gateway allows; an unknown key is asked for after the cooldown
  cooldownDuration: 5_000,
  timeoutDuration: 5_000,
});
const expected = {
  algorithms: ["ES256"],
  issuer: process.env.ZTPROXY_ISSUER,
  audience: process.env.ZTPROXY_AUDIENCE,
  requiredClaims: ["sub", "iat", "exp"],
  clockTolerance: 5,
};
if (!expected.issuer || !expected.audience) throw new Error("ZTPROXY_ISSUER and ZTPROXY_AUDIENCE are needed");

async function verified(values) {
  if (values?.length !== 1) throw new Error("exactly one X-Ztproxy-Assertion is needed");
  const { payload } = await jwtVerify(values[0], keys, expected);
  return payload;
}

const server = createServer(async (request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(body));
  };
  try {
    const claims = await verified(request.headersDistinct["x-ztproxy-assertion"]);
    // A subject means something together with who named it: an issuer of tokens, or none for a certificate.
    answer(200, { issuer: claims.token_issuer ?? null, subject: claims.sub, claims });
  } catch (wrong) {
    answer(401, { error: wrong.message });
  }
});
server.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("listening on", server.address().port));
