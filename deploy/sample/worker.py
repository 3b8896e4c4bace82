"""The worker process: takes numbers off the queue and finds their prime factors."""

import os
import signal
import sys
import time

import jobs
from tiny_redis import Redis, RedisError

NAME = os.environ.get("DYNO") or os.environ.get("PS") or "worker"


def factors(number):
    found, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1 if divisor == 2 else 2
    return found + [number] if number > 1 else found


def main():
    stopping = False

    def stop(*_):
        nonlocal stopping
        stopping = True
        print("SIGTERM: finishing the job in hand", flush=True)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        redis = Redis()
    except RedisError as error:
        sys.exit(str(error))

    print(f"{NAME} waits for numbers", flush=True)
    greeted = False
    while not stopping:
        try:
            if not greeted:
                jobs.take_up_again(redis, NAME)
                greeted = True
            job = jobs.take(redis, NAME)
            if job is None:
                continue
            begun = time.monotonic()
            result = factors(job["number"])
            seconds = time.monotonic() - begun
            jobs.done(redis, NAME, job, result, seconds)
            print(f"job {job['id']}: {job['number']} = {' × '.join(map(str, result))}", flush=True)
        except (RedisError, OSError, EOFError) as error:
            # Redis restarts now and then; the job in hand is taken up again.
            print(f"trouble with Redis ({error}); trying again", flush=True)
            greeted = False
            time.sleep(1)
    print("bye", flush=True)


if __name__ == "__main__":
    main()
