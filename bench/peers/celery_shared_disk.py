"""Celery, Redis and pyvips; tasks get paths, as on one machine or a shared disk.

python bench/peers/celery_shared_disk.py blur:sigma=3 PICTURES OUT
"""

from shared.celery_peer import start_celery
from shared.peer import main

main(lambda: start_celery("disk", "paths of a shared disk"))
