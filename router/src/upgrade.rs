//! WebSockets and whatever else begins with `Upgrade`: once both sides have agreed, bytes
//! go both ways until one side ends or both are silent for too long.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::access_log::Flight;
use crate::alarm::Alarm;
use crate::failure::Failure;
use crate::flow::{Client, Dyno, Pulled};
use crate::proxy::Conn;

/// Goes on until the tunnel ends. The error is that of both being silent.
pub(crate) async fn join<C: Client, D: Dyno>(
    conn: &Conn,
    client: &mut C,
    dyno: &mut D,
    alarm: &mut Alarm,
    idle: Option<Duration>,
    flight: &mut Option<Flight>,
) -> Result<(), Failure> {
    if let Some(on_app) = flight.as_mut().and_then(|flight| flight.app.as_mut()) {
        on_app.becomes_tunnel();
    }
    let stats = flight.as_ref().map(Flight::stats);
    let _counted = stats.as_ref().map(|stats| stats.tunnel());
    client.go_raw();
    dyno.go_raw();
    let mut last = Instant::now();
    let (mut sent, mut said) = (false, false);
    poll_fn(|cx| {
        let mut scratch = conn.worker.scratch.borrow_mut();
        // Down: when the dyno has said all, it will hear no more, either. How it ended makes no difference.
        loop {
            match client.poll_flush(cx) {
                Poll::Ready(Ok(())) if !said => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
            match dyno.poll_pull(cx, &mut scratch, client) {
                Poll::Ready(Ok(pulled)) => {
                    let (Pulled::More(count) | Pulled::End(count)) = pulled;
                    said = matches!(pulled, Pulled::End(_));
                    last = Instant::now();
                    if let Some(flight) = flight.as_mut() {
                        flight.bytes += count;
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        // Up: a client that has said all still wants to hear.
        loop {
            match dyno.poll_flush(cx) {
                Poll::Ready(Ok(())) if !sent => {}
                Poll::Ready(Err(_)) if !said => return Poll::Ready(Ok(())),
                Poll::Ready(_) | Poll::Pending => break,
            }
            match client.poll_pull(cx, &mut scratch, dyno) {
                Poll::Ready(Ok(pulled)) => {
                    sent = matches!(pulled, Pulled::End(_));
                    last = Instant::now();
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        let Some(idle) = idle else { return Poll::Pending };
        alarm.poll(cx, last + idle).map(|()| Err(Failure::IdleConnection))
    })
    .await
}
