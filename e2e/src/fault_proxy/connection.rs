//! One connection through the proxy: passes requests on, or does to them what was decided. Network I/O.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, RETRY_AFTER};
use hyper::header::{HeaderValue, TRANSFER_ENCODING};
use hyper::http::{request, response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::locked;
use super::plan::{Controls, Fault, Traffic};

/// Pieces of a slow answer.
const PIECES: usize = 5;

/// Time for what was already written to leave before a connection is cut.
const LEAVING: Duration = Duration::from_millis(30);

/// Headers that are about one connection only, or that were dealt with on the way in.
const OF_THE_CONNECTION: [HeaderName; 4] = [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH, EXPECT];

/// Names an operation of SQS; a request of S3 has none.
const TARGET: &str = "x-amz-target";

/// The connection ends here.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut, as planned")]
struct Cut;

type Answer = Response<UnsyncBoxBody<Bytes, Cut>>;

/// An emulator's address, and a client for it.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub(super) authority: String,
    pub(super) is_queue: bool,
    pub(super) client: Client<HttpConnector, Full<Bytes>>,
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, upstream: Upstream, controls: Arc<Mutex<Controls>>) {
    let is_reset = AtomicBool::new(false);
    let service = service_fn(|request| {
        let (upstream, controls, is_reset) = (&upstream, &controls, &is_reset);
        // hyper wants to move what it polls by parts.
        Box::pin(async move {
            let answer = answer(request, upstream, controls).await;
            is_reset.store(answer.is_err(), Ordering::Relaxed);
            answer
        })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How it ended is the matter of whoever asked.
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    if is_reset.load(Ordering::Relaxed) {
        // Closed with this, the other side sees a reset and not an end.
        let _ = connection.into_parts().io.inner().set_zero_linger();
    }
}

async fn answer(request: Request<Incoming>, upstream: &Upstream, controls: &Mutex<Controls>) -> Result<Answer, Cut> {
    let (head, body) = request.into_parts();
    let traffic = traffic(&head, upstream);
    let fault = locked(controls).decide(traffic);
    let inject = |fault| locked(controls).injected(fault);
    // Whatever becomes of it, it has arrived.
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    match fault {
        None => Ok(whole(upstream.pass(head, body, controls).await?)),
        Some(Fault::ResetBefore) => {
            inject(Fault::ResetBefore);
            Err(Cut)
        }
        Some(fault @ Fault::LoseReply) => {
            upstream.pass(head, body, controls).await?;
            inject(fault);
            Err(Cut)
        }
        Some(fault @ Fault::Stall(time)) => {
            inject(fault);
            sleep(time).await;
            Err(Cut)
        }
        Some(fault @ Fault::Slow { delay, pause }) => {
            inject(fault);
            sleep(delay).await;
            let passed = upstream.pass(head, body, controls).await?;
            Ok(in_pieces(passed, pause))
        }
        Some(fault @ Fault::Refuse { status, retry_after }) => {
            inject(fault);
            Ok(refusal(&head, traffic, status, retry_after))
        }
        Some(fault @ Fault::CutAnswer) => {
            let passed = upstream.pass(head, body, controls).await?;
            if passed.1.is_empty() {
                return Ok(whole(passed));
            }
            inject(fault);
            Ok(half(passed))
        }
    }
}

fn traffic(head: &request::Parts, upstream: &Upstream) -> Traffic {
    if upstream.is_queue || head.headers.contains_key(TARGET) {
        return Traffic::Queue;
    }
    if matches!(head.method, Method::GET | Method::HEAD) { Traffic::Reads } else { Traffic::Writes }
}

impl Upstream {
    /// Has the emulator answer, and waits for all of its answer.
    async fn pass(
        &self,
        mut head: request::Parts,
        body: Bytes,
        controls: &Mutex<Controls>,
    ) -> Result<(response::Parts, Bytes), Cut> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("http://{}{path}", self.authority);
        head.uri = uri.parse::<Uri>().map_err(|_| Cut)?;
        strip(&mut head.headers);
        if !matches!(head.method, Method::GET | Method::HEAD) {
            // Also of nothing, which some servers insist on.
            head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let passing = async {
            let response = self.client.request(Request::from_parts(head, Full::new(body))).await.ok()?;
            let (head, body) = response.into_parts();
            Some((head, body.collect().await.ok()?.to_bytes()))
        };
        let passed = passing.await;
        let counts = &mut locked(controls).counts;
        *(if passed.is_some() { &mut counts.passed } else { &mut counts.unanswered }) += 1;
        passed.ok_or(Cut)
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
}

fn whole((head, body): (response::Parts, Bytes)) -> Answer {
    // Of a HEAD the length is that of the body which is not sent.
    let mut answer = Response::from_parts(head, Full::new(body).map_err(|never| match never {}).boxed_unsync());
    answer.headers_mut().remove(CONNECTION);
    answer.headers_mut().remove(TRANSFER_ENCODING);
    answer
}

fn of_length(mut head: response::Parts, length: usize, body: UnsyncBoxBody<Bytes, Cut>) -> Answer {
    strip(&mut head.headers);
    head.headers.insert(CONTENT_LENGTH, length.into());
    Response::from_parts(head, body)
}

fn in_pieces((head, body): (response::Parts, Bytes), pause: Duration) -> Answer {
    if body.is_empty() {
        return whole((head, body));
    }
    let length = body.len();
    let size = length.div_ceil(PIECES);
    let pieces = (0..length).step_by(size).map(move |start| body.slice(start..length.min(start + size)));
    let paced = stream::iter(pieces).then(move |piece| async move {
        sleep(pause).await;
        Ok(Frame::data(piece))
    });
    of_length(head, length, StreamBody::new(paced).boxed_unsync())
}

fn half((head, body): (response::Parts, Bytes)) -> Answer {
    let half = body.slice(..body.len() / 2);
    let cut = stream::once(async { Ok(Frame::data(half)) }).chain(stream::once(async {
        sleep(LEAVING).await;
        Err(Cut)
    }));
    of_length(head, body.len(), StreamBody::new(cut).boxed_unsync())
}

/// As the cloud words it that the request is meant for.
fn refusal(head: &request::Parts, traffic: Traffic, status: u16, retry_after: Option<u32>) -> Answer {
    let is_azure = head.headers.contains_key("x-ms-version");
    let code = match (is_azure, status) {
        (true, 503) => "ServerBusy",
        (true, 429) => "TooManyRequests",
        (false, 503) => "SlowDown",
        (false, 429) => "ThrottlingException",
        _ => "InternalError",
    };
    let is_json = !is_azure && traffic == Traffic::Queue;
    let body = if is_json {
        format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"as planned"}}"#)
    } else {
        format!(
            r#"<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>as planned</Message></Error>"#
        )
    };
    let kind = if is_json { "application/x-amz-json-1.0" } else { "application/xml" };
    let mut answer = Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status.try_into().expect("a plan names a status");
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if is_azure {
        answer.headers_mut().insert("x-ms-error-code", HeaderValue::from_static(code));
    }
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}
