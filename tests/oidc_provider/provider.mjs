// A certified OpenID provider (oidc-provider) for tests: node provider.mjs PORT CLIENT_SECRET REDIRECT_URI
import { Provider } from "oidc-provider";

const [port, secret, redirect] = process.argv.slice(2);
const GROUPS = { rita: ["radiology"], carl: ["radiology", "librarians"], nobody: ["kitchen"] };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { client_id: "braincase", client_secret: secret, redirect_uris: [redirect] },
    { client_id: "elsewhere", client_secret: secret, redirect_uris: [redirect] },
  ],
  scopes: ["openid", "profile", "groups"],
  claims: { openid: ["sub"], profile: ["name"], groups: ["groups"] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `Dr. ${id}`, groups: GROUPS[id] }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
