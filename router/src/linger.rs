//! Hearing out a client that still sends when it has its answer. Closing at once would reset the
//! connection, and the answer would be lost to who sends all before it reads (RFC 9112, 9.6).

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::proxy::Conn;
use crate::stopping::{Ear, Word};

/// How much is heard, bytes: all that a browser with 64 Mbit/s can send in the time there is.
const MOST: usize = 256 * 1024 * 1024;

/// What our last word may take to be said; and what a client may still send once the worker is
/// to end, since others wait for that.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);

/// Hears what `poll` gives, bytes or the end, within bounds. `unused`: others may need its place.
pub(crate) async fn hear_out(
    conn: &Conn,
    ear: &mut Ear<'_>,
    alarm: &mut Alarm,
    unused: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Option<usize>>,
) {
    let shared = &conn.worker.shared;
    let mut last = Instant::now();
    let mut end = last + shared.limits.linger;
    let mut heard = 0;
    let mut told = false;
    poll_fn(|cx| {
        let before = heard;
        while heard < MOST {
            match poll(cx) {
                Poll::Ready(Some(count)) => heard += count,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if heard >= MOST {
            return Poll::Ready(());
        }
        if heard > before {
            last = Instant::now();
        }
        match ear.hears(cx, unused) {
            Word::GoOn => {}
            Word::MakeRoom => return Poll::Ready(()),
            Word::End if told || shared.ending.handed_over() => {}
            Word::End => {
                told = true;
                end = end.min(Instant::now() + GOODBYE);
            }
        }
        alarm.poll(cx, end.min(last + shared.limits.linger_idle))
    })
    .await;
}
