# shellcheck shell=bash
case_begin python-pip python-pip
claim 'builds from requirements.txt' build python
claim 'with the Python of the stack' says 'Using Python 3.11'
extra_options=(--env MEMORY_AVAILABLE=512)
dyno "$(type_of web)"
claim 'answers from the environment at /app' answers_with / 'flask /app/.heroku/python 3.11 concurrency=2'
stop
extra_options=()
claim 'pip knows the packages in a dyno too' grep -q '^Flask==3.0.3\|^flask==3.0.3' <(run_in_dyno 'pip freeze')
push_again python-pip
claim 'builds again' build python
claim 'keeping the environment' says 'kept from the last build'
dyno "$(type_of web)"
claim 'and that answers' answers_with / 'flask /app/.heroku/python'
stop
push_again python-pip
sed -i '/flask/d' "$dir/build/requirements.txt"
claim 'builds with a package less' build python
refute 'the package is gone' run_in_dyno 'python -c "import flask"'

case_begin python-uv python-uv
claim 'builds from uv.lock' build python
dyno "$(type_of web)"
claim 'a script of the project itself answers, without development packages' answers_with / '/greetings/__init__.py dev=gone'
claim 'from /app' answers_with / 'uv /app/'
stop
push_again python-uv
claim 'builds again' build python
dyno "$(type_of web)"
claim 'and that answers' answers_with / 'dev=gone'
stop
push_again python-uv
sed -i 's/"bottle.*"/"bottle>=0.12", "iniconfig"/' "$dir/build/pyproject.toml"
refute 'refuses an uv.lock that does not fit' build python
claim 'says what to do' says 'git add uv.lock'

case_begin python-pipenv python-pipenv
claim 'builds from Pipfile.lock' build python
dyno "$(type_of web)"
claim 'answers, without development packages' answers_with / 'pipenv 0.13.2 dev=gone'
stop
push_again python-pipenv
sed -i 's/bottle = .*/bottle = "==0.12.25"/' "$dir/build/Pipfile"
refute 'refuses a Pipfile.lock that does not fit' build python
claim 'says what to do' says 'git add Pipfile.lock'
push_again python-pipenv
rm "$dir/build/Pipfile.lock"
refute 'refuses a Pipfile without lock file' build python
claim 'says so' says 'no Pipfile.lock'

case_begin python-django python-django
refute 'refuses a Django project whose settings fail to load' build python
claim 'shows why' says 'SECRET_KEY'
config SECRET_KEY abc
claim 'builds with the config var' build python
claim 'collects static files' says '1 static file copied'
claim 'has a default web type' grep -qx 'gunicorn site_of_tests.wsgi' <(type_of web)
extra_options=(--env SECRET_KEY=abc)
dyno "$(type_of web)"
claim 'answers' answers_with / 'django answers'
claim 'serves a static file' answers_with /static/site.css 'color: teal'
stop
extra_options=()
config DISABLE_COLLECTSTATIC 1
push_again python-django
claim 'builds again' build python
claim 'leaves static files alone when told so' says 'DISABLE_COLLECTSTATIC is set'

case_begin python-version python-pip
echo 3.11.9 >"$dir/build/.python-version"
claim 'takes another fix release of the same series' build python
claim 'and says so' says "fix release differs: 3\.11\..* instead of 3\.11\.9"
echo 'three' >"$dir/build/.python-version"
refute 'refuses what is no version' build python
claim 'says so' says "asks for 'three'"
echo python-3.6.15 >"$dir/build/runtime.txt"
rm "$dir/build/.python-version"
config UV_PYTHON_INSTALL_MIRROR http://127.0.0.1:9/
refute 'refuses a Python that cannot be had' build python
claim 'names what there is' says 'The stack debian-12 has Python 3.11'

case_begin python-broken python-pip
echo 'flask ==== 1' >"$dir/build/requirements.txt"
refute 'refuses a broken requirements.txt' build python
claim 'says so' says "requirements.txt can't be read"
echo 'paas-there-is-no-such-package==1.0' >"$dir/build/requirements.txt"
refute 'refuses a package that there is not' build python
claim 'says so' says 'not to be had'
config PIP_INDEX_URL http://127.0.0.1:9/simple
refute 'fails without an index' build python
claim 'says so' says "package index doesn't answer"

case_begin python-poetry python-pip
mv "$dir/build/requirements.txt" "$dir/build/poetry.lock"
refute 'refuses Poetry' build python
claim 'says what to do' says 'poetry export'
