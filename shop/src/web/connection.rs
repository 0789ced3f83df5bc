//! One HTTP/1.1 connection: its limits of time and when it is asked to close. Reads and writes the socket.
//!
//! hyper's own header time-out counts the idle time of a kept-alive connection as header time and makes a timer for
//! each request. Here the phase of the connection is a few atomic words, and one timer a connection looks at them.
//!
//! A socket that is closed with bytes unread is reset, and the reset may overtake the answer: who sends a body that is
//! refused unread would never learn why. So the end of a connection is in two halves: ours, then a bounded wait for
//! the client's, in which what it still sends is thrown away. And hyper closes a connection whose body nobody reads, so
//! the answer says so, or the client's next request would go down with it; a little body that is here already, as that of
//! a command that is shed, is read and thrown away instead, since a new connection costs more than that.

use std::{
    convert::Infallible,
    io,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, Request, Response, StatusCode, header},
};
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};
use tower::Service;

use super::problem::{Code, Problem};

/// Most bytes of a request's line and headers together; hyper answers 431 beyond it.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most headers of a request. hyper's parser has room for 100 on its stack; what is between is refused here.
const MAX_HEADERS: usize = 64;
/// Most bytes hyper holds of one connection, so that many slow clients stay cheap.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// How long a connection that was asked to close may still take.
const CLOSING: Duration = Duration::from_secs(5);
/// How long a client may take to close its half after we closed ours.
const LINGER: Duration = Duration::from_secs(1);
/// Most bytes that are thrown away meanwhile.
const MAX_LINGER_BYTES: usize = 1024 * 1024;
/// How long an answer waits for the rest of a body that nobody wants, and how much of it may come, for the connection to stay.
const DISCARDING: Duration = Duration::from_millis(3);
const MAX_DISCARDED_BYTES: usize = 16 * 1024;

/// Limits of time of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the first byte of a request to the end of its headers; also from the connect to the first request.
    pub(super) header: Duration,
    /// From an answer to the next request.
    pub(super) idle: Duration,
    /// Age at which the next answer closes the connection, so that new pods get their share of kept-alive clients.
    pub(super) rotation: Duration,
}

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Requests are served.
    Serve,
    /// There are too many connections: one request is told so.
    Shed,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Before the end of a request's headers.
    Head = 0,
    /// A request is with the application, which has limits of its own.
    Serving = 1,
    /// The answer is on its way or was read; no byte of another request is here.
    Idle = 2,
}

/// Phase of a connection and since when; written by its one task, so that relaxed order is enough.
struct Activity {
    born: Instant,
    phase: AtomicU8,
    since_millis: AtomicU64,
    /// The rest of a request's body that was given up before its end.
    unread: Mutex<Option<Incoming>>,
}

impl Activity {
    fn new() -> Self {
        Self {
            born: Instant::now(),
            phase: AtomicU8::new(Phase::Head as u8),
            since_millis: AtomicU64::new(0),
            unread: Mutex::default(),
        }
    }

    fn enter(&self, phase: Phase) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_millis.store(millis, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// When the present phase ends at the latest.
    fn deadline(&self, limits: &Limits) -> Instant {
        let since = self.born + Duration::from_millis(self.since_millis.load(Ordering::Relaxed));
        if self.is(Phase::Head) { since + limits.header } else { since + limits.idle }
    }
}

/// The wait for the client's half of the end.
struct Lingering {
    over: Pin<Box<Sleep>>,
    room: usize,
}

impl Lingering {
    fn begin() -> Self {
        Self { over: Box::pin(sleep(LINGER)), room: MAX_LINGER_BYTES }
    }

    fn poll(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while self.room > 0 && self.over.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            let read = buffer.filled().len();
            self.room = if read == 0 { 0 } else { self.room.saturating_sub(read) };
        }
        Poll::Ready(Ok(()))
    }
}

/// The socket, which notes the first byte of each request and ends as the module says.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
    lingering: Option<Lingering>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && self.activity.is(Phase::Idle) {
            self.activity.enter(Phase::Head);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, lingering, .. } = self.get_mut();
        if lingering.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        lingering.get_or_insert_with(Lingering::begin).poll(stream, context)
    }
}

/// The body of a request, which is kept when it is given up before its end.
struct Followed {
    /// None once it has ended.
    body: Option<Incoming>,
    activity: Arc<Activity>,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            *self.activity.unread.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
    }
}

fn followed(body: Incoming, activity: &Arc<Activity>) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::new(Followed { body: Some(body), activity: Arc::clone(activity) })
}

/// Reads the rest of a body, if that is little and here; whether it was.
async fn discard(rest: Incoming) -> bool {
    let mut rest = pin!(Limited::new(rest, MAX_DISCARDED_BYTES));
    let reading = async {
        while let Some(frame) = rest.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    timeout(DISCARDING, reading).await.unwrap_or(false)
}

/// Serves one connection until it ends, its time is over, or `drain` resolves and the request in flight is answered.
/// While `lame` is set, each answer asks the client to close.
pub(super) async fn serve_connection<S>(
    stream: TcpStream,
    application: S,
    admission: Admission,
    limits: Limits,
    lame: Arc<AtomicBool>,
    drain: oneshot::Receiver<()>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let activity = Arc::new(Activity::new());
    let (watched, lame) = (&activity, &*lame);
    let service = service_fn(move |request: Request<Incoming>| {
        watched.enter(Phase::Serving);
        let request = request.map(|body| followed(body, watched));
        let mut application = application.clone();
        async move {
            let mut response = if admission == Admission::Shed {
                Problem::new(Code::Overloaded, "There are too many connections. Try again in a second.").into()
            } else if request.headers().len() > MAX_HEADERS {
                // Its body is looked for below.
                drop(request);
                too_many_headers()
            } else {
                // A panic is a bug of one request: it is answered and logged, and the others on this process go on.
                match AssertUnwindSafe(application.call(request)).catch_unwind().await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(_panic) => {
                        tracing::error!("a request handler panicked; the client got 500");
                        Problem::internal().into()
                    }
                }
            };
            let unread = watched.unread.lock().unwrap_or_else(PoisonError::into_inner).take();
            let closes = admission == Admission::Shed
                || lame.load(Ordering::Relaxed)
                || watched.born.elapsed() > limits.rotation
                || match unread {
                    Some(rest) => !discard(rest).await,
                    None => false,
                };
            if closes {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            watched.enter(Phase::Idle);
            Ok::<_, Infallible>(response)
        }
    });
    let socket = TokioIo::new(Watched { stream, activity: Arc::clone(&activity), lingering: None });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_header_size(MAX_HEADER_BYTES)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(socket, service)
    );
    let mut alarm = pin!(sleep_until(activity.deadline(&limits)));
    let mut drain = pin!(drain);
    let mut draining = false;
    let mut closing = false;
    loop {
        tokio::select! {
            biased;
            // Resets and broken requests are the client's affair.
            _ended = &mut connection => return,
            _told = &mut drain, if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut alarm => {
                let now = Instant::now();
                let deadline = activity.deadline(&limits);
                if activity.is(Phase::Serving) {
                    alarm.as_mut().reset(now + limits.header);
                } else if deadline > now {
                    alarm.as_mut().reset(deadline);
                } else if activity.is(Phase::Head) || closing {
                    return;
                } else {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                    alarm.as_mut().reset(now + CLOSING);
                }
            }
        }
    }
}

fn too_many_headers() -> Response<Body> {
    let mut response: Response<Body> =
        Problem::new(Code::Malformed, "The request has more than 64 headers. Send fewer.").into();
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}
