// The identity provider's own pages, in plain HTML: log in (with a second factor where it is asked for), and consent.

import { PASSWORD, SECOND_FACTOR } from "./configuration.js";

const TEXT = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const text = (value) => String(value).replace(/[&<>"]/g, (character) => TEXT[character]);

function page(title, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${text(title)}</title></head>
<body><main><h1>${text(title)}</h1>${body}</main></body></html>`;
}

function loginPage({ uid, params, secondFactor, wrong }) {
  const code = secondFactor ? '<label>Code <input name="code" inputmode="numeric" autocomplete="off" required></label>' : "";
  return page("Log in", `${wrong ? `<p role="alert">${text(wrong)}</p>` : ""}
<form method="post" action="/interaction/${text(uid)}">
<label>Name <input name="username" value="${text(params.login_hint ?? "")}" required></label>
<label>Password <input name="password" type="password" required></label>${code}
<button type="submit" id="log-in">Log in</button></form>`);
}

function consentPage({ uid, params }) {
  return page("Allow access", `<p>${text(params.client_id)} asks for ${text(params.scope)}.</p>
<form method="post" action="/interaction/${text(uid)}">
<button type="submit" id="allow" name="answer" value="allow">Allow</button>
<button type="submit" id="refuse" name="answer" value="refuse">Refuse</button></form>`);
}

async function formOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

function show(response, body, status = 200) {
  response.writeHead(status, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" });
  response.end(body);
}

// What the policy of the interaction asks: the second factor where `acr_values` names it.
const asksSecondFactor = ({ params }) => (params.acr_values ?? "").split(" ").includes(SECOND_FACTOR);

function login(details, form, people) {
  const name = form.get("username");
  const person = Object.hasOwn(people, name) ? people[name] : undefined;
  if (person === undefined || form.get("password") !== person.password) return { wrong: "Name or password is wrong." };
  const secondFactor = asksSecondFactor(details);
  if (secondFactor && form.get("code") !== person.code) return { wrong: "The code is wrong." };
  return {
    result: {
      select_account: {},
      login: {
        accountId: name,
        acr: secondFactor ? SECOND_FACTOR : PASSWORD,
        amr: secondFactor ? ["pwd", "otp"] : ["pwd"],
      },
    },
  };
}

async function consent(provider, details) {
  const { prompt, params, session, grantId } = details;
  const grant =
    (grantId && (await provider.Grant.find(grantId))) ||
    new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope((prompt.details.missingOIDCScope ?? params.scope.split(" ")).join(" "));
  if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
  for (const [indicator, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(indicator, scopes.join(" "));
  }
  return { consent: { grantId: await grant.save() } };
}

async function answerTo(provider, settings, request, response) {
  const details = await provider.interactionDetails(request, response);
  const { uid, params } = details;
  const shown = { uid, params, prompt: details.prompt, secondFactor: asksSecondFactor(details) };
  const isLogin = details.prompt.name !== "consent"; // who chooses an account logs in with it
  if (request.method !== "POST") return show(response, isLogin ? loginPage(shown) : consentPage(shown));
  const form = await formOf(request);
  let result;
  if (isLogin) {
    const outcome = login(details, form, settings.users);
    if (outcome.wrong) return show(response, loginPage({ ...shown, wrong: outcome.wrong }), 401);
    result = outcome.result;
  } else if (form.get("answer") === "allow") {
    result = await consent(provider, details);
  } else {
    result = { error: "access_denied", error_description: "The person refused." };
  }
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: !isLogin });
}

export function interactions(provider, settings) {
  const rest = provider.callback();
  return (request, response) => {
    if (!request.url.startsWith("/interaction/")) return rest(request, response);
    return answerTo(provider, settings, request, response).catch((wrong) => show(response, page("Error", text(wrong.message)), 400));
  };
}
