// The certified OpenID provider that the tests log in to, on a loopback port of its own choice.
//
// Prints one JSON line when it is ready, {"issuer", "clientSecret"}, and ends when its standard input closes, so that it
// never outlives the test run. For each algorithm it knows two clients that sign with it:
//   svc-<alg>  a service account: client credentials, its JWT access token is for the audience "micromegas-api"
//   "svc: <alg> 100%+"  another, whose id and secret ("<clientSecret>: 100%+&=") mean something in a form and in Basic
//   app-<alg>  a native application: authorization code with PKCE on a loopback redirect
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const KEY_TYPES = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519'] };
const RESOURCE = 'urn:micromegas-api';
const ACCOUNTS = {
  alice: { email: 'alice@example.com', email_verified: true, name: 'Alice' },
  bob: { email: 'bob@example.com', email_verified: false, name: 'Bob' },
};
const clientSecret = randomBytes(24).toString('hex');

const serviceAccount = (alg, id, secret) => ({
  client_id: id,
  client_secret: secret,
  token_endpoint_auth_method: 'client_secret_post', // client_secret_basic is let in as well
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  id_token_signed_response_alg: alg,
});
const clientsOf = (alg) => [
  serviceAccount(alg, `svc-${alg.toLowerCase()}`, clientSecret),
  serviceAccount(alg, `svc: ${alg.toLowerCase()} 100%+`, `${clientSecret}: 100%+&=`),
  {
    client_id: `app-${alg.toLowerCase()}`,
    application_type: 'native', // any port of the loopback redirect will do
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['http://127.0.0.1/cb'],
    id_token_signed_response_alg: alg,
  },
];

const configuration = {
  clients: Object.keys(KEY_TYPES).flatMap(clientsOf),
  jwks: {
    keys: Object.entries(KEY_TYPES).map(([alg, type]) => ({
      ...generateKeyPairSync(...type).privateKey.export({ format: 'jwk' }), alg, use: 'sig',
    })),
  },
  findAccount: (ctx, id) => ACCOUNTS[id] && { accountId: id, claims: () => ({ sub: id, ...ACCOUNTS[id] }) },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  conformIdTokenClaims: false, // the e-mail stands in the id_token too, as at most providers
  cookies: { keys: [randomBytes(24).toString('hex')] },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // Clients name no `resource` (the Python micromegas client sends `audience`): each gets a token for the one API.
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource, client) => ({
        scope: '',
        audience: 'micromegas-api',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: client.idTokenSignedResponseAlg } },
      }),
    },
  },
};

console.info = console.error; // the provider's notices: standard output carries the ready line alone
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  server.on('request', new Provider(issuer, configuration).callback());
  console.log(JSON.stringify({ issuer, clientSecret }));
});
process.stdin.resume().on('close', () => process.exit());
