// What the identity provider does and knows: its people and clients come from the settings.

import { interactionPolicy } from "oidc-provider";

const { Check, Prompt, base } = interactionPolicy;

export const PASSWORD = "urn:ztproxy:test:password";
export const SECOND_FACTOR = "urn:ztproxy:test:second-factor";

// How a login that did not reach what `acr_values` asks for is done again (OpenID Connect Core §3.1.2.1).
function prompts() {
  const policy = base();
  policy.get("login").checks.add(
    new Check("acr_values", "a second factor is asked for", "login_required", ({ oidc }) => {
      const asked = oidc.params.acr_values?.split(" ") ?? [];
      const reached = oidc.session.acr ?? oidc.result?.login?.acr;
      return asked.includes(SECOND_FACTOR) && reached !== SECOND_FACTOR
        ? Check.REQUEST_PROMPT
        : Check.NO_NEED_TO_PROMPT;
    }),
  );
  policy.add(new Prompt({ name: "select_account", requestable: true }), 0);
  return policy;
}

// People agree once in a session with what a client may see, or everything is agreed to for them.
async function grantFor(context, consent) {
  const { client, provider, result, session } = context.oidc;
  const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  if (known) return provider.Grant.find(known);
  if (consent) return undefined;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope("openid email profile groups offline_access");
  for (const indicator of Object.keys(context.oidc.resourceServers ?? {})) {
    grant.addResourceScope(indicator, "read write");
  }
  await grant.save();
  return grant;
}

const names = (certificate) => certificate?.subjectAltName?.split(", ") ?? [];

export function configuration(settings, { keys, cookieKeys, mutualOrigin }) {
  const people = settings.users;
  const told = (subject) => ({ sub: subject, ...people[subject]?.claims });
  return {
    jwks: { keys },
    cookies: { keys: cookieKeys },
    clients: settings.clients,
    acrValues: [PASSWORD, SECOND_FACTOR],
    scopes: ["openid", "offline_access", "email", "profile", "groups"],
    claims: {
      acr: null, amr: null, auth_time: null, iss: null, sid: null,
      openid: ["sub"],
      email: ["email", "email_verified"],
      profile: ["name", "preferred_username"],
      groups: ["groups"],
    },
    conformIdTokenClaims: false,
    findAccount: (_, subject) => people[subject] && { accountId: subject, claims: () => told(subject) },
    extraTokenClaims: (_, token) => {
      const { sub, ...claims } = told(token.accountId);
      return token.accountId ? claims : undefined;
    },
    clientAuthMethods: [
      "none", "client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth",
      "self_signed_tls_client_auth",
    ],
    pkce: { required: () => settings.pkce },
    issueRefreshToken: (_, client) => client.grantTypeAllowed("refresh_token"),
    rotateRefreshToken: true,
    ttl: { AccessToken: 600, IdToken: 600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600, ...settings.lifetimes },
    loadExistingGrant: (context) => grantFor(context, settings.consent),
    interactions: { policy: prompts(), url: (_, interaction) => `/interaction/${interaction.uid}` },
    // Its clients listen on loopback here, where it would not go by itself, and are waited for: no time decides a test.
    fetch: (url, { dispatcher, signal, ...options }) => fetch(url, options),
    discovery: {
      mtls_endpoint_aliases: Object.fromEntries(
        [["token", "token"], ["introspection", "token/introspection"], ["revocation", "token/revocation"], ["userinfo", "me"]]
          .map(([name, path]) => [`${name}_endpoint`, `${mutualOrigin}/${path}`]),
      ),
    },
    features: {
      backchannelLogout: { enabled: true },
      claimsParameter: { enabled: true },
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: {
        enabled: true,
        nonceSecret: Buffer.alloc(32, settings.dpopNonces ? 1 : 0),
        requireNonce: () => settings.dpopNonces,
      },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: ({ socket }) => socket.getPeerX509Certificate?.(),
        certificateAuthorized: ({ socket }) => socket.authorized === true,
        certificateSubjectMatches: ({ socket }, property, expected) => {
          const certificate = socket.getPeerX509Certificate();
          if (property === "tls_client_auth_san_dns") return names(certificate).includes(`DNS:${expected}`);
          if (property === "tls_client_auth_san_uri") return names(certificate).includes(`URI:${expected}`);
          return certificate.subject.split("\n").reverse().join(",") === expected;
        },
      },
      resourceIndicators: {
        enabled: settings.audience !== null,
        defaultResource: () => `urn:${settings.audience}`,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "read write",
          audience: settings.audience,
          accessTokenFormat: settings.accessTokens,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
  };
}
