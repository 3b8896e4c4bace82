//! A plan as text that reads well in a log and stays the same in a snapshot.

use std::fmt::{self, Display, Formatter};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Create, DynoRow, ExitReason, Plan, Step};

impl Plan {
    /// One step a line, with the dynos' names out of `rows` and times relative to `now`:
    /// `stop    web.1@v2#b7c4 (deploy)`. The last four digits of the id tell dynos of one
    /// name apart.
    pub fn text(&self, rows: &[DynoRow], now: DateTime<Utc>) -> String {
        let mut lines = Vec::with_capacity(self.steps.len() + 1);
        for step in &self.steps {
            lines.push(StepText { step, rows, now }.to_string());
        }
        if self.steps.is_empty() {
            lines.push("nothing to do".to_owned());
        }
        if let Some(wake_at) = self.wake_at {
            lines.push(format!("wake    {}", Wait { from: now, to: wake_at }));
        }
        lines.join("\n")
    }
}

struct StepText<'a> {
    step: &'a Step,
    rows: &'a [DynoRow],
    now: DateTime<Utc>,
}

impl StepText<'_> {
    fn name(&self, id: Uuid) -> Name<'_> {
        let row = self.rows.iter().find(|row| row.id == id);
        Name { id, row }
    }
}

impl Display for StepText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.step {
            Step::Create(create) => write!(f, "create  {create}"),
            Step::Start { id } => write!(f, "start   {}", self.name(*id)),
            Step::MarkUp { id, .. } => write!(f, "up      {}", self.name(*id)),
            Step::MarkCrashed { id, exit, crashes, next_start_at } => {
                let (from, to) = (self.now, *next_start_at);
                let (name, wait) = (self.name(*id), Wait { from, to });
                write!(f, "crashed {name} ({exit}, crash {crashes}), next start {wait}")
            }
            Step::MarkExited { id, exit } => write!(f, "exited  {} ({exit})", self.name(*id)),
            Step::Stop { id, reason } => write!(f, "stop    {} ({reason})", self.name(*id)),
            Step::Kill { id, reason } => write!(f, "kill    {} ({reason})", self.name(*id)),
            Step::Remove { id } => write!(f, "remove  {}", self.name(*id)),
            Step::RemoveStray { id } => write!(f, "stray   {}", self.name(*id)),
            Step::Routes(ids, state) => {
                write!(f, "routes  {state}")?;
                ids.iter().try_for_each(|id| write!(f, " {}", self.name(*id)))
            }
            Step::RolloutStalled { process_type, release, why } => {
                write!(f, "stalled {process_type}@v{release} ({why})")
            }
        }
    }
}

impl Display for Create {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { slot, release_version, size, command, epoch, crashes } = self;
        write!(f, "{slot}@v{release_version} {size} `{command}`")?;
        if *epoch > 0 {
            write!(f, " epoch {epoch}")?;
        }
        if *crashes > 0 {
            write!(f, " after {crashes} crashes")?;
        }
        Ok(())
    }
}

impl Display for ExitReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "status {code}"),
            Self::BootTimeout => f.write_str("boot timeout"),
            Self::Oom => f.write_str("out of memory"),
            Self::Lost => f.write_str("lost"),
            Self::Unstarted => f.write_str("never started"),
        }
    }
}

struct Name<'a> {
    id: Uuid,
    row: Option<&'a DynoRow>,
}

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.row {
            let (typ, number, version) = (&row.process_type, row.number, row.release_version);
            write!(f, "{typ}.{number}@v{version}")?;
        }
        write!(f, "#{:04x}", self.id.as_u128() & 0xffff)
    }
}

struct Wait {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

impl Display for Wait {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let wait = self.to - self.from;
        match wait.num_milliseconds() {
            ..=0 => f.write_str("at once"),
            ms if ms % 1000 == 0 => write!(f, "in {} s", ms / 1000),
            ms => write!(f, "in {ms} ms"),
        }
    }
}
