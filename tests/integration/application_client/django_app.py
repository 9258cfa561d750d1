"""A Django REST framework application that uses the framework's pagination classes, and one from its documentation.

Django keeps its settings in the process, so there is only one such application; `serve_django` serves it on loopback.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from werkzeug.serving import make_server

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "", "OPTIONS": {"timeout": 20}}},
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
)
django.setup()

# These imports need the settings.
from django.db import models  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import generics, pagination, serializers  # noqa: E402
from rest_framework.response import Response  # noqa: E402


class Email(models.Model):
    """A failed email."""

    created = models.DateTimeField(auto_now_add=True)
    author = models.CharField(max_length=100)

    class Meta:
        app_label = "django_app"

    def __str__(self):
        return str(self.pk)


class _Serializer(serializers.ModelSerializer):
    class Meta:
        model = Email
        fields = ("id", "created", "author")


class _Numbers(pagination.PageNumberPagination):
    page_size = 100
    page_size_query_param = "page_size"


class _Offsets(pagination.LimitOffsetPagination):
    default_limit = 100


class _Cursors(pagination.CursorPagination):
    page_size = 100
    ordering = "id"


class _Links(pagination.PageNumberPagination):
    """From the framework's documentation: "Pagination", "Custom pagination styles", "Using the Link header"."""

    page_size = 100

    def get_paginated_response(self, data):
        links = {"next": self.get_next_link(), "prev": self.get_previous_link()}
        header = ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items() if url)
        return Response(data, headers={"Link": header} if header else {})


def _view(paginator, ordering="id"):
    class View(generics.ListAPIView):
        queryset = Email.objects.order_by(ordering)
        serializer_class = _Serializer
        pagination_class = paginator

    return View.as_view()


urlpatterns = [
    path("numbers", _view(_Numbers)),
    path("newest", _view(_Numbers, ordering="-id")),
    path("offsets", _view(_Offsets)),
    path("newest-offsets", _view(_Offsets, ordering="-id")),
    path("cursors", _view(_Cursors)),
    path("links", _view(_Links)),
    path("all", _view(None)),
]


@contextmanager
def serve_django(folder: Path) -> Iterator[str]:
    """Serve the application with an empty database in `folder`; yield its URL."""
    settings.DATABASES["default"]["NAME"] = str(folder / "django.sqlite3")
    connections["default"].close()
    connections["default"].settings_dict["NAME"] = str(folder / "django.sqlite3")
    with connection.schema_editor() as editor:
        editor.create_model(Email)
    server = make_server("127.0.0.1", 0, get_wsgi_application(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        connections.close_all()


def replace_emails(count: int) -> list[str]:
    """Replace all emails by this many new ones; return their ids, oldest first."""
    Email.objects.all().delete()
    Email.objects.bulk_create([Email(author="Jo") for _ in range(count)], batch_size=500)
    return [str(each) for each in Email.objects.order_by("id").values_list("id", flat=True)]
