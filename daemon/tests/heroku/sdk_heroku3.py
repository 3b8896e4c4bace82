"""A way through the API with heroku3: sdk_heroku3.py URL TOKEN."""

import sys

import heroku3.api

heroku3.api.HEROKU_URL = sys.argv[1]
heroku = heroku3.from_key(sys.argv[2])

app = heroku.create_app(name="snake", stack_id_or_name="debian-12")
assert app.name == "snake", app
print("created", flush=True)
config = app.config()
config["COLOUR"] = "red"
assert heroku.apps()["snake"].config()["COLOUR"] == "red"
print("configured", flush=True)
assert sys.stdin.readline().strip() == "deployed"
app.process_formation()["worker"].scale(2)
assert app.process_formation()["worker"].quantity == 2
assert any("COLOUR" in release.description for release in app.releases())
app.add_collaborator("friend@example.com")
assert "friend@example.com" in [one.user.email for one in app.collaborators()]
app.remove_collaborator("friend@example.com")
app.add_domain("snake.example.com", None)
assert "snake.example.com" in [one.hostname for one in app.domains()]
app.remove_domain("snake.example.com")
app.enable_maintenance_mode()
app.disable_maintenance_mode()
app.delete()
assert "snake" not in [one.name for one in heroku.apps()]
print("done", flush=True)
