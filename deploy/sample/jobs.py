"""Jobs, as the web page and the worker see them.

queue        a list of the ids that wait
working:NAME a list of the id that a worker has in hand, so that it is not lost with it
recent       a list of the latest ids, for the page
job:ID       what is known about a job, as JSON, for a day
"""

import json
import time

SHOWN = 20
KEPT = 24 * 60 * 60


def add(redis, number):
    job = {"id": redis("INCR", "last-id"), "number": number, "state": "waiting"}
    save(redis, job)
    redis("LPUSH", "recent", job["id"])
    redis("LTRIM", "recent", 0, SHOWN - 1)
    redis("LPUSH", "queue", job["id"])
    return job


def save(redis, job):
    redis("SET", f"job:{job['id']}", json.dumps(job), "EX", KEPT)


def recent(redis):
    ids = redis("LRANGE", "recent", 0, SHOWN - 1)
    found = redis("MGET", *[f"job:{id}" for id in ids]) if ids else []
    return [json.loads(job) for job in found if job]


def take(redis, worker):
    """Waits two seconds for a job. It stays in the worker's hand until `done`."""
    id = redis("BRPOPLPUSH", "queue", f"working:{worker}", 2)
    found = id and redis("GET", f"job:{id}")
    if not found:
        redis("DEL", f"working:{worker}")
        return None
    job = json.loads(found)
    job.update(state="working", worker=worker)
    save(redis, job)
    return job


def done(redis, worker, job, result, seconds):
    job.update(state="done", result=result, seconds=round(seconds, 3), finished=time.time())
    save(redis, job)
    redis("DEL", f"working:{worker}")


def take_up_again(redis, worker):
    """Puts back what this worker had in hand when it was killed."""
    while redis("RPOPLPUSH", f"working:{worker}", "queue"):
        pass
