"""The image store that the database belongs with."""

from sqlalchemy import Connection, delete, insert, select, text

from dpip.controller.datastore.tables import image_store, images

_STORE_ID = select(image_store.c.id)
_WORKLOADS_WITH_IMAGES = select(images.c.workload_id).distinct()


def store_id(connection: Connection) -> str | None:
    known: str | None = connection.scalar(_STORE_ID)
    return known


def tie_store(connection: Connection, store_id: str, anew: bool) -> str:
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway.
        connection.execute(text("LOCK TABLE image_store IN EXCLUSIVE MODE"))
    if anew:
        connection.execute(delete(image_store))
    known: str | None = connection.scalar(_STORE_ID)
    if known is None:
        connection.execute(insert(image_store), {"id": store_id})
    return known or store_id


def workloads_with_images(connection: Connection) -> set[str]:
    return set(connection.scalars(_WORKLOADS_WITH_IMAGES))
