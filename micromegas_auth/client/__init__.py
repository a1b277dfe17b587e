"""The other side of the door: tokens for those who call.

from micromegas_auth.client import BearerAuth, ClientCredentials

credentials = ClientCredentials.from_env()
httpx.get("https://api.example.com/", auth=BearerAuth(credentials))
"""

from micromegas_auth.client.client_credentials import ClientCredentials
from micromegas_auth.client.plugs import BearerAuth
from micromegas_auth.client.token import TokenError

__all__ = ["BearerAuth", "ClientCredentials", "TokenError"]
