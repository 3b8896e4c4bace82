"""Turns an app's static.json into a configuration of nginx.

    configure.py FILE     writes it, and prints what it serves

Keys: root, clean_urls, https_only, error_page, routes, redirects, headers, canonical_host.
A path in routes, redirects and headers may have * (within a directory) and ** (any depth).
"""

import json
import os
import re
import sys

KEYS = {
    "root": str,
    "clean_urls": bool,
    "https_only": bool,
    "error_page": str,
    "routes": dict,
    "redirects": dict,
    "headers": dict,
    "canonical_host": str,
}
ROOTS = ["dist", "build", "out", "_site", "public", "public_html", "."]
# What belongs to the platform, when the root of the source is served.
PRIVATE = ["Procfile", "app.json", "static.json", "package.json", "package-lock.json"]
TYPES = """application/javascript application/json application/manifest+json application/wasm
    application/xml application/xhtml+xml application/rss+xml application/atom+xml
    font/ttf font/otf image/svg+xml image/x-icon text/css text/csv text/javascript
    text/markdown text/plain text/xml""".split()


def stop(words):
    sys.exit(words)


def read():
    try:
        with open("static.json", encoding="utf-8-sig") as file:
            options = json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as problem:
        stop(f"it is not JSON: {problem}")
    if not isinstance(options, dict):
        stop("it is not an object")
    for key, value in options.items():
        if key not in KEYS:
            stop(f"{key!r} is not a key of it; there are {', '.join(KEYS)}")
        if not isinstance(value, KEYS[key]):
            stop(f"{key} should be a {KEYS[key].__name__}")
    return options


def text(value, where):
    """A word of nginx's language."""
    if not isinstance(value, str) or re.search(r"[\x00-\x1f\x7f$]", value):
        stop(f"{where}: {value!r} should be a text without $ and line ends")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def glob(path, where):
    """A regular expression, quoted, for a path with * and **."""
    text(path, where)
    out = ""
    for part in re.split(r"(\*\*|\*)", "/" + path.lstrip("/")):
        out += {"**": ".*", "*": "[^/]*"}.get(part) or re.escape(part)
    # nginx reads backslashes in quotes but once.
    return '"~^' + out.replace('"', '\\"') + '$"'


def root_of(options):
    named = options.get("root")
    if named is not None:
        root = os.path.normpath(named.strip("/") or ".")
        if root.startswith("..") or not os.path.isdir(root):
            stop(f"root: there is no directory {named!r} in the source")
        return root
    for root in ROOTS:
        if os.path.isfile(os.path.join(root, "index.html")):
            return root
    return stop("no index.html is in " + ", ".join(ROOTS))


def main():
    options = read()
    root = root_of(options)
    maps, server = [], []
    clean = "$uri.html " if options.get("clean_urls") else ""

    names = {}
    for path, headers in options.get("headers", {}).items():
        if not isinstance(headers, dict):
            stop(f"headers: {path} should be an object of names and values")
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name):
                stop(f"headers: {name!r} is not the name of a header")
            names.setdefault(name, []).append((glob(path, "headers"), text(value, "headers")))
    cache = names.pop(next((n for n in names if n.lower() == "cache-control"), ""), [])
    # What has a hash in its name never changes; everything else is asked for again, cheaply, by ETag.
    cache.append(('"~*[.-][0-9a-f]{8,}\\.[a-z0-9.]+$"', '"public, max-age=31536000, immutable"'))
    for index, (name, rules) in enumerate([("Cache-Control", cache), *names.items()]):
        default = '"no-cache"' if name == "Cache-Control" else '""'
        lines = "".join(f"    {pattern} {value};\n" for pattern, value in rules)
        # $request_uri would have the query; $uri is what is served in the end, index files too.
        maps.append(f"  map $uri $header_{index} {{\n    default {default};\n{lines}  }}\n")
        server.append(f"add_header {name} $header_{index} always;")

    if options.get("canonical_host"):
        host = text(options["canonical_host"], "canonical_host")
        server.append(f'if ($host != {host}) {{ return 301 "$scheme_seen://{host[1:-1]}$request_uri"; }}')
    if options.get("https_only"):
        server.append("if ($http_x_forwarded_proto = http) { return 301 https://$host$request_uri; }")
    for path, redirect in options.get("redirects", {}).items():
        if not isinstance(redirect, dict) or not isinstance(redirect.get("url"), str):
            stop(f"redirects: {path} should be an object with url (and status)")
        status = redirect.get("status", 301)
        if status not in (301, 302, 303, 307, 308):
            stop(f"redirects: {status} is not the status of a redirect (301, 302, 303, 307, 308)")
        server.append(f"location ~ {glob(path, 'redirects').replace('~', '', 1)} {{ return {status} {text(redirect['url'], 'redirects')}; }}")
    server.append(r"location ~ /\.(?!well-known/) { return 404; }")
    if root == ".":
        for name in PRIVATE:
            server.append(f"location = /{name} {{ return 404; }}")
    for path, target in options.get("routes", {}).items():
        file = text(target, "routes").strip('"').lstrip("/")
        if not os.path.isfile(os.path.join(root, file)):
            stop(f"routes: there is no file {target!r} in {root}")
        pattern = glob(path, "routes").replace("~", "", 1)
        server.append(f'location ~ {pattern} {{ try_files $uri {clean}$uri/index.html "/{file}" =404; }}')
    server.append(f"location / {{ try_files $uri {clean}$uri/ =404; }}")
    page = options.get("error_page") or ("404.html" if os.path.isfile(os.path.join(root, "404.html")) else "")
    if page:
        page = page.lstrip("/")
        if not os.path.isfile(os.path.join(root, page)):
            stop(f"error_page: there is no file {page!r} in {root}")
        server.append(f"error_page 403 404 {text('/' + page, 'error_page')};")

    place = "@HOME@" if root == "." else "@HOME@/" + text(root, "root").strip('"')
    indented = "".join(f"    {line}\n" for line in server)
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(f"""# Made by the static buildpack from static.json.
daemon off;
worker_processes 2;
error_log stderr warn;
pid @WORK@/pid;
events {{ worker_connections 2048; }}
http {{
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  types_hash_max_size 2048;
  charset utf-8;
  charset_types text/css text/javascript text/markdown text/plain text/xml application/javascript application/json;
  # The router logs every request.
  access_log off;
  server_tokens off;
  # The public address is the router's: redirects name only the path.
  absolute_redirect off;
  # Longer than the router keeps idle connections, so that it is the one to close them.
  keepalive_timeout 95s;
  sendfile on;
  tcp_nopush on;
  gzip on;
  gzip_static on;
  gzip_vary on;
  gzip_proxied any;
  gzip_min_length 512;
  gzip_types {' '.join(TYPES)};
  client_body_temp_path @WORK@/body;
  proxy_temp_path @WORK@/proxy;
  fastcgi_temp_path @WORK@/fastcgi;
  uwsgi_temp_path @WORK@/uwsgi;
  scgi_temp_path @WORK@/scgi;
  map $http_x_forwarded_proto $scheme_seen {{
    default $http_x_forwarded_proto;
    "" $scheme;
  }}
{''.join(maps)}  server {{
    listen @PORT@ default_server;
    root "{place}";
    index index.html;
{indented}  }}
}}
""")
    print("Serving " + ("the root of the source" if root == "." else f"{root}/"))


main()
