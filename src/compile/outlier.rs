//! `[upstream.NAME.outlier]`: which endpoints are ejected.

use super::Compiler;
use crate::{
    balance::{Detector, OutlierSettings, Percent},
    config::{self, Code, Placed, outlier::Outlier},
};

impl Compiler<'_> {
    /// Who looks for endpoints of this upstream that serve badly. `None`: nobody does.
    pub(super) fn outlier(&mut self, name: &str, upstream: &config::Upstream) -> Option<Detector> {
        let outlier = upstream.outlier.as_ref()?;
        self.check_outlier(outlier);
        let settings = OutlierSettings {
            consecutive_failures: outlier.consecutive_failures.0,
            failure_share: outlier.failure_share.0.and_then(Percent::new),
            latency: outlier.latency.0,
            minimum_requests: outlier.minimum_requests.get(),
            failure_status: outlier
                .failure_status
                .iter()
                .map(|range| (range.first, range.last))
                .collect(),
            interval: outlier.interval.get(),
            ejection_time: outlier.ejection_time.get(),
            max_ejection_time: outlier.max_ejection_time.get(),
            max_ejected: Percent::new(outlier.max_ejected.hundredths()).unwrap_or_default(),
        };
        Some(Detector::new(settings, self.stores.endpoints.turn(name)))
    }

    fn check_outlier(&mut self, outlier: &Placed<Outlier>) {
        let reasons = ["consecutive_failures", "failure_share", "latency"];
        let is_off = outlier.consecutive_failures.0.is_none()
            && outlier.failure_share.0.is_none()
            && outlier.latency.0.is_none();
        if is_off && reasons.iter().all(|key| outlier.is_whole(key)) {
            self.found
                .error(
                    Code::ConflictingKeys,
                    outlier.place,
                    "with all three reasons \"off\", nobody is ever ejected",
                )
                .help("give `consecutive_failures`, `failure_share` or `latency` a value, or take the table away");
        }
        if outlier.max_ejected.hundredths() == 0 {
            self.found
                .error(
                    Code::OutOfRange,
                    outlier.max_ejected.place,
                    "`max_ejected` cannot be 0%: nobody would ever be ejected",
                )
                .help("take the table away, or write a share such as \"10%\": one endpoint always may be ejected");
        }
        let (time, longest) = (outlier.ejection_time.get(), outlier.max_ejection_time.get());
        if time > longest
            && outlier.is_whole("ejection_time")
            && outlier.is_whole("max_ejection_time")
        {
            self.found
                .error(
                    Code::OutOfRange,
                    outlier.max_ejection_time.place,
                    format!(
                        "`max_ejection_time` is {}, shorter than `ejection_time` with {}",
                        outlier.max_ejection_time.value, outlier.ejection_time.value
                    ),
                )
                .help(format!(
                    "for example: max_ejection_time = \"{}\"",
                    outlier.ejection_time.value
                ));
        }
    }
}
