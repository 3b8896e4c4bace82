# shellcheck shell=bash
for manager in ${NODE_MANAGERS:-npm yarn pnpm berry}; do
  case_begin "node-$manager" "node-$manager"
  claim "builds with $manager" build node
  claim 'runs heroku-prebuild' says 'prebuild ran'
  claim 'takes the Node of engines' says 'Using node 22\.'
  claim 'prunes development packages' says 'Pruning development packages'
  refute 'without complaint' says 'could not be pruned'
  claim 'has a default web type' grep -qE "^${manager/berry/yarn} start$" <(type_of web)
  extra_options=(--env MEMORY_AVAILABLE=1536)
  dyno "$(type_of web)"
  claim 'answers' answers_with / 'v22.'
  claim 'with the right environment' answers_with / 'production 172800000 made by the build dev=gone concurrency=3'
  stop
  extra_options=()
  push_again "node-$manager"
  claim 'builds again' build node
  claim 'keeping node_modules' says 'node_modules kept from the last build'
  dyno "$(type_of web)"
  claim 'and that answers' answers_with / 'made by the build dev=gone'
  stop
done

case_begin node-plain node-plain
claim 'builds without engines, lock file, packages or scripts' build node
claim 'tells about the missing lock file' says 'There is no lock file'
claim 'npm start runs server.js' grep -qx 'npm start' <(type_of web)
dyno "$(type_of web)"
claim 'answers' answers_with / 'plain v24.'
stop

case_begin node-bad-json node-plain
echo '{ "name": oops }' >"$dir/build/package.json"
refute 'refuses a package.json that is not JSON' build node
claim 'says where' says 'line 1 column 11'

case_begin node-two-locks node-npm
cp "$here/fixtures/node-yarn/yarn.lock" "$dir/build/"
refute 'refuses two lock files' build node
claim 'names them' says 'package-lock.json, yarn.lock'

case_begin node-out-of-sync node-npm
sed -i 's/"ms": "2.1.3"/"ms": "2.1.2"/' "$dir/build/package.json"
refute 'refuses a lock file that does not fit' build node
claim 'says what to do' says 'git add package-lock.json'

case_begin node-failing-build node-npm
sed -i "s/\"build\": \".*\"/\"build\": \"echo about to fail; exit 7\"/" "$dir/build/package.json"
refute 'refuses a failing build script' build node
claim 'shows its output' says 'about to fail'
claim 'names the script' says 'The script "build" of package.json failed'

case_begin node-postbuild node-npm
sed -i 's/"build": /"heroku-postbuild": "echo instead of build; cp view.json built.txt", "build": /' "$dir/build/package.json"
claim 'builds' build node
claim 'runs heroku-postbuild' says 'instead of build'
refute 'in place of build' says 'Running build'

case_begin node-no-such-version node-npm
sed -i 's/22\.x/99.x/' "$dir/build/package.json"
refute 'refuses a Node that there is not' build node
claim 'says so' says 'No Node.js 99.x can be had'

case_begin node-no-such-package node-plain
echo '{ "dependencies": { "@paas-fixture/there-is-no-such-package": "1.0.0" } }' >"$dir/build/package.json"
refute 'refuses a package that there is not' build node
claim 'names it' says 'there-is-no-such-package'

case_begin node-no-registry node-npm
config NPM_CONFIG_REGISTRY http://127.0.0.1:9/
refute 'fails without a registry' build node
claim 'says so' says "doesn't answer"
