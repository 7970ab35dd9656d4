#!/bin/sh
set -eu
defined=$(printf '${%s} ' $(env | cut -d= -f1 | grep '^NGINX_'))
mkdir -p /run/nginx
find /etc/nginx/templates -follow -type f -name '*.template' -print | while read -r template; do
	envsubst "$defined" < "$template" > "/run/nginx/$(basename "$template" .template)"
done
