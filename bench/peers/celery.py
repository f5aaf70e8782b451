"""Celery, Redis and pyvips; pictures travel through Redis, as to workers on other machines.

python bench/peers/celery.py blur:sigma=3 PICTURES OUT
"""

from shared.celery_peer import start_celery
from shared.peer import main

main(lambda: start_celery("redis", "pictures through Redis"))
