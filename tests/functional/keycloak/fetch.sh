#!/bin/sh
# Lays Keycloak, of the release named here, into dist/ and prepares it to start; asks for Maven, Java >= 17 and Python.
set -eu
cd "$(dirname "$0")"
version=26.7.3
if [ "$(cat dist/ready 2>/dev/null)" = "$version" ]; then exit 0; fi
rm -rf dist
mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
  -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory=dist -Dmdep.overWriteReleases=true
python3 -m zipfile -e "dist/keycloak-quarkus-dist-$version.zip" dist
rm "dist/keycloak-quarkus-dist-$version.zip"
mv "dist/keycloak-$version"/* dist/
home=$PWD/dist
java -Dkc.home.dir="$home" -Djboss.server.config.dir="$home/conf" -XX:TieredStopAtLevel=1 \
  -Djava.util.logging.manager=org.jboss.logmanager.LogManager -cp dist/lib/quarkus-run.jar \
  io.quarkus.bootstrap.runner.QuarkusEntryPoint build --db=dev-file \
  --features-disabled=account,account-api,ciba,device-flow,kerberos,organization,impersonation,par,passkeys,web-authn \
  >dist/build.log
echo "$version" >dist/ready
