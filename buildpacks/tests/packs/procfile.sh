# shellcheck shell=bash
case_begin procfile procfile
claim 'builds' build procfile
claim 'names the types' says 'Process types: web, worker'
dyno "$(type_of web)"
claim 'its own executable answers' answers_with /hello.txt 'hello from the source'
stop

case_begin procfile-crlf procfile
sed -i 's/$/\r/; 1s/^/\xEF\xBB\xBF/' "$dir/build/Procfile"
claim 'reads Windows line ends and a BOM' build procfile
claim 'names the types all the same' says 'Process types: web, worker$'

case_begin procfile-empty procfile-empty
refute 'refuses a Procfile without a type' build procfile
claim 'says why' says 'names no process type'
