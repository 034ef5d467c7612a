//! A replay for a person.

use std::fmt;

use super::{Line, Mark, Outcome, Replay, Stand};

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.map_or_else(String::new, |reason| format!(", reason {}", reason.as_str()));
        write!(f, "{}{reason}", self.state.as_str())
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "=",
            Self::Gone => "-",
            Self::New => "+",
            Self::Life => "·",
        })
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "run   {}, attempt {}", self.run_id, self.attempt)?;
        writeln!(f, "then  {}", self.then)?;
        match &self.now {
            Outcome::Ends(stand) => writeln!(f, "now   {stand}")?,
            Outcome::RecordingEnds(why) => writeln!(f, "now   not known to the end: {why}")?,
        }
        let count = |mark: Mark| self.events.iter().filter(|line| line.mark == mark).count();
        writeln!(
            f,
            "\nevents: {} the same (=), {} gone (-), {} new (+); {} of the run's life (·), which is not played back",
            count(Mark::Same),
            count(Mark::Gone),
            count(Mark::New),
            count(Mark::Life),
        )?;
        writeln!(f, " then   now")?;
        let mut now = 0;
        for line in &self.events {
            now += usize::from(matches!(line.mark, Mark::Same | Mark::New));
            write_line(f, line, now)?;
        }
        write!(f, "\nrequests: {} played, {} not asked for any more", self.requests.len(), self.requests_left)?;
        for request in &self.requests {
            if let Some(address) = &request.asked_now {
                write!(f, "\n  request {} to {} would be {address} now", request.seq, request.endpoint)?;
            }
        }
        Ok(())
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, line: &Line, now: usize) -> fmt::Result {
    let then = line.seq.map_or_else(String::new, |seq| seq.to_string());
    let now = if matches!(line.mark, Mark::Same | Mark::New) { now.to_string() } else { String::new() };
    let message = line.message.replace(char::is_control, " ");
    writeln!(f, "{then:>5} {now:>5}  {} {:<20} {message}", line.mark, line.event_type)
}
