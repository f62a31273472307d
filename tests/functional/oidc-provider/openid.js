// A certified identity provider with people who log in: node openid.js SETTINGS, a JSON file that openid_provider.py
// writes. Prints its issuer and listens on loopback over TLS. On standard input, each answered with a line:
//   rotate    signs with a new key and publishes the old one too      forget    publishes the newest key alone
//   logout CLIENT SUBJECT SID                                         sends the client a back-channel logout token
//   groups USER GROUP...                                              from now on the user is in these groups

import { generateKeyPairSync, randomUUID } from "node:crypto";
import dns from "node:dns";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";
import { configuration } from "./configuration.js";
import { interactions } from "./interactions.js";

const settings = JSON.parse(readFileSync(process.argv[2]));
const tls = { cert: readFileSync(settings.certificate), key: readFileSync(settings.key) };
const cookieKeys = [randomUUID()];
let keys = [signingKey()];

function signingKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
}

// Names below localhost are this machine (RFC 6761), whatever the C library thinks.
const lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup(name.endsWith(".localhost") ? "localhost" : name, ...rest);

const listening = (server, port) =>
  new Promise((done) => server.listen(port, "127.0.0.1", () => done(server.address().port)));

const server = createServer(tls);
const issuer = `https://localhost:${await listening(server, settings.port)}`;
// Clients that show a certificate have a listener of their own (RFC 8705 §5): browsers are never asked for one.
const mutual = createServer({
  ...tls,
  requestCert: true,
  rejectUnauthorized: false,
  ca: readFileSync(settings.authorities),
});
const mutualOrigin = `https://localhost:${await listening(mutual, 0)}`;

let provider;
let answer;
function renew() {
  provider = new Provider(issuer, configuration(settings, { keys, cookieKeys, mutualOrigin }));
  for (const event of ["server_error", "backchannel.error"]) {
    provider.on(event, (_, wrong) => console.error(event, wrong));
  }
  for (const event of ["authorization.error", "grant.error", "introspection.error", "end_session.error"]) {
    provider.on(event, (_, wrong) => console.error(event, wrong.error, wrong.error_detail ?? wrong.error_description));
  }
  answer = interactions(provider, settings);
}
renew();
server.on("request", (request, response) => answer(request, response));
mutual.on("request", (request, response) => answer(request, response));

const commands = {
  rotate() {
    keys = [signingKey(), ...keys];
    renew();
  },
  forget() {
    keys = keys.slice(0, 1);
    renew();
  },
  groups(user, ...groups) {
    settings.users[user].claims.groups = groups;
  },
  async logout(client, subject, sid) {
    await (await provider.Client.find(client)).backchannelLogout(subject, sid);
  },
};
createInterface({ input: process.stdin }).on("line", async (line) => {
  const [command, ...parameters] = line.split(" ");
  try {
    await commands[command](...parameters);
    console.log(`${line} done`);
  } catch (wrong) {
    console.log(`${line} failed: ${wrong.message}`);
  }
});
console.log(issuer);
