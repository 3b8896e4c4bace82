//! A dyno's output under Docker's own habits: cut records, rotation, seconds.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use paas_daemon::engine::{EngineError, OutputStream};

use super::processes::only_made;
use super::util::{Which, run};

#[test]
fn both_streams_come_with_rising_times() {
    run(Which::Docker, async |bench| {
        let spec = bench.start("echo out; sleep 0.1; echo err >&2; sleep 0.1; printf 'no end'").await;
        let stream = bench.engine.output(spec.id, None).await.unwrap();
        let lines: Vec<_> = stream.map(Result::unwrap).collect().await;
        let seen: Vec<_> = lines.iter().map(|line| (line.stream, line.bytes.as_ref())).collect();
        let expected: [(_, &[u8]); 3] =
            [(OutputStream::Stdout, b"out"), (OutputStream::Stderr, b"err"), (OutputStream::Stdout, b"no end")];
        assert_eq!(seen, expected);
        assert!(lines.is_sorted_by_key(|line| line.at));
    });
}

#[test]
fn long_lines_are_joined_and_then_split_at_ten_thousand() {
    run(Which::Docker, async |bench| {
        let spec =
            bench.start("head -c 50000 /dev/zero | tr '\\0' x; echo; head -c 9999 /dev/zero | tr '\\0' y; echo").await;
        let lines = bench.lines(spec.id).await;
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [10_000, 10_000, 10_000, 10_000, 10_000, 9_999]);
        assert!(lines[5].bytes().all(|byte| byte == b'y'));
    });
}

#[test]
fn a_reader_that_comes_and_goes_loses_and_repeats_nothing() {
    run(Which::Docker, async |bench| {
        let spec = bench.start("for i in {1..20000}; do echo line $i; done").await;
        let mut seen: Vec<String> = Vec::new();
        let mut cursor = None;
        // Each reader takes a few hundred lines, most of them within one second of Docker's cursor.
        loop {
            let mut stream = bench.engine.output(spec.id, cursor).await.unwrap();
            let mut taken = 0;
            while taken < 1777 {
                let Some(line) = stream.next().await else { break };
                let line = line.unwrap();
                cursor = Some(line.at);
                seen.push(String::from_utf8_lossy(&line.bytes).into_owned());
                taken += 1;
            }
            if taken < 1777 {
                break;
            }
        }
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for line in &seen {
            *counts.entry(line).or_default() += 1;
        }
        assert!(counts.values().all(|count| *count == 1));
        assert_eq!(seen, (1..=20_000).map(|index| format!("line {index}")).collect::<Vec<_>>());
    });
}

#[test]
fn a_follower_keeps_up_with_rotation() {
    run(Which::Docker, async |bench| {
        // 15 MB with Docker's framing: the first file of 10 MB is put aside in between.
        let spec = bench.start("sleep 0.5; for i in {1..60000}; do echo $i 0123456789012345678901234567890123456789012345678901234567890123456789; done").await;
        let stream = bench.engine.output(spec.id, None).await.unwrap();
        let numbers: Vec<u32> = stream
            .map(|line| {
                String::from_utf8_lossy(&line.unwrap().bytes).split(' ').next().unwrap().parse::<u32>().unwrap()
            })
            .collect()
            .await;
        let lost: Vec<u32> = (1..=60_000).filter(|number| numbers.binary_search(number).is_err()).collect();
        assert!(
            lost.is_empty() && numbers.len() == 60_000,
            "{} lines, lost {} from {:?}",
            numbers.len(),
            lost.len(),
            lost.first()
        );
    });
}

#[test]
fn the_output_of_a_dyno_that_was_only_made_does_not_end() {
    run(Which::Docker, async |bench| {
        let spec = bench.spec("echo said");
        only_made(&bench, &spec, &["echo", "said"]);
        let lines: Vec<_> = bench.engine.output(spec.id, None).await.unwrap().collect().await;
        assert!(matches!(lines[..], [Err(EngineError::Unavailable { .. })]), "{lines:?}");
        bench.engine.start(&spec).await.unwrap();
        assert_eq!(bench.lines(spec.id).await, ["said"]);
    });
}
