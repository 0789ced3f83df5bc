"""Runs moto until it is ended: serve.py HOST PORT [QUEUE_URL].

S3 and SQS do each request in one step. moto does it in several, so that of two conditional writes at the same time both
may win, and a listing may break off; here requests are done one after the other, but for the time that one waits for a
message. With QUEUE_URL, requests for SQS are passed on to another one of these: the services of AWS do not wait for each
other, and clients that know it go there directly.
"""

import io
import os
import sys
import time
from threading import Lock

# As many as on S3.
os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = "1000"

import requests
from moto import backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs import models as sqs
from moto.sqs.models import Queue, SQSBackend
from werkzeug.serving import run_simple
from werkzeug.wrappers import Request, Response

# Longest that a request for SQS takes: it may wait 20 seconds for a message.
QUEUE_SECONDS = 30

step = Lock()
wait_for_messages = Queue.wait_for_messages


def wait_apart(queue, timeout):
    step.release()
    try:
        wait_for_messages(queue, timeout)
    finally:
        step.acquire()


def is_kept(backend, queue_name, message):
    kept_until = backend.get_queue(queue_name).message_retention_period + message.sent_timestamp / 1000
    return kept_until > time.time()


def one_at_a_time(application):
    def serve(environ, start_response):
        # The body first, so that nobody waits for a slow sender.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with step:
            return list(application(environ, start_response))

    return serve


def queue_passed_on(application, url):
    def serve(environ, start_response):
        # What a request is signed for says which service it is for.
        if "/sqs/" not in environ.get("HTTP_AUTHORIZATION", ""):
            return application(environ, start_response)
        request = Request(environ)
        answer = requests.request(
            request.method,
            url + request.full_path.rstrip("?"),
            headers=dict(request.headers),
            data=request.get_data(),
            timeout=QUEUE_SECONDS,
        )
        kept = {name: value for name, value in answer.headers.items() if name.lower().startswith(("content-type", "x-"))}
        return Response(answer.content, answer.status_code, kept)(environ, start_response)

    return serve


def main():
    host, port, *queue_url = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    os.environ["MOTO_PORT"] = str(port)
    Queue.wait_for_messages = wait_apart
    # For each message that is received moto counts all messages three times, and asks for the time at each by way of calendars:
    # 200 ms for ten of two hundred, in which nobody could send. Two milliseconds without.
    SQSBackend.is_message_valid_based_on_retention_period = is_kept
    sqs.unix_time = time.time
    sqs.unix_time_millis = lambda: time.time() * 1000
    # moto looks through its folders for each request, which takes a third of the time.
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
    application = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    if queue_url:
        application = queue_passed_on(application, queue_url[0])
    # Connections are kept, as the clouds keep them.
    MotoRequestHandler.protocol_version = "HTTP/1.1"
    run_simple(host, port, application, threaded=True, request_handler=MotoRequestHandler)


main()
