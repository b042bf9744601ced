"""Reaching our own servers from the command line: never through a proxy."""

from http.client import HTTPException
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

#: Like ``urllib.request.urlopen``; a proxy in the environment is for the world outside.
reach = build_opener(ProxyHandler({})).open

#: What it raises when nobody answers, or not in HTTP.
NO_ANSWER = (URLError, OSError, HTTPException)
