// A certified identity provider over TLS on loopback: node server.js CERTIFICATE KEY; prints its issuer and listens.
// Tokens by client credentials, as signed JWTs for the audience "ztproxy"; `rotate` on standard input changes its key.
// A request for a token with a DPoP proof gets one that is bound to its key; the client `bound` gets tokens that are
// bound to the certificate that it shows. Tokens for the resource `urn:opaque` say nothing by themselves: whoever is a
// client is told about them, among others `introspector`, by an assertion under a key of the JWKS file that is named third.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

const [certificate, key, introspector] = process.argv.slice(2).map((path) => readFileSync(path));
const audience = "ztproxy";

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
}

function provider(issuer) {
  return new Provider(issuer, {
    jwks: { keys: [signingKey()] },
    cookies: { keys: [randomUUID()] },
    clients: [
      {
        client_id: "service",
        client_secret: "not-a-secret",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: "bound",
        client_secret: "not-a-secret",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
        tls_client_certificate_bound_access_tokens: true,
      },
      ...(introspector === undefined
        ? []
        : [
            {
              client_id: "introspector",
              token_endpoint_auth_method: "private_key_jwt",
              token_endpoint_auth_signing_alg: "ES256",
              jwks: JSON.parse(introspector),
              grant_types: [],
              redirect_uris: [],
              response_types: [],
            },
          ]),
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate: (ctx) => ctx.req.socket.getPeerX509Certificate(),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => `urn:${audience}`,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: "read write",
          audience,
          accessTokenFormat: resource === "urn:opaque" ? "opaque" : "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  });
}

const server = createServer({ cert: certificate, key, requestCert: true, rejectUnauthorized: false });
server.listen(0, "127.0.0.1", () => {
  const issuer = `https://localhost:${server.address().port}`;
  let answer = provider(issuer).callback();
  server.on("request", (request, response) => answer(request, response));
  createInterface({ input: process.stdin }).on("line", (line) => {
    if (line === "rotate") answer = provider(issuer).callback();
    console.log(`${line} done`);
  });
  console.log(issuer);
});
