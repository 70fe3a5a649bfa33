//! The figures of the process, as `/metrics` shows them.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds of the histograms in seconds.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];
/// Bounds of the histogram of changes in a group.
const CHANGES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 2048.0];

/// The recorder of this process, installed at the first call.
pub fn handle() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let builder = PrometheusBuilder::new();
    let recorder = builder
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_changes".to_owned()), CHANGES)
        })
        .unwrap_or_default()
        .build_recorder();
    let handle = recorder.handle();
    // Somebody else's recorder may stand already; then ours stays empty, and nothing breaks.
    let _ = metrics::set_global_recorder(recorder);
    metrics::describe_histogram!(
        "deskbell_ingest_seconds",
        "From a delivery's head to its durable answer."
    );
    metrics::describe_histogram!("deskbell_commit_seconds", "One durable group.");
    metrics::describe_histogram!("deskbell_commit_changes", "Changes in one group.");
    metrics::describe_counter!(
        "deskbell_deliveries_total",
        "Deliveries of platforms, by what was answered."
    );
    metrics::describe_counter!(
        "deskbell_inbound_events_total",
        "Events of platforms, by what became of them."
    );
    metrics::describe_counter!(
        "deskbell_foreign_events_total",
        "Events for accounts that are no channel here."
    );
    metrics::describe_counter!(
        "deskbell_poll_looks_total",
        "How often platforms were asked for what is new, by how it ended."
    );
    metrics::describe_counter!(
        "deskbell_poll_updates_total",
        "Updates that platforms gave when they were asked; what was not confirmed comes again and counts again."
    );
    metrics::describe_gauge!(
        "deskbell_hook_deliveries_waiting",
        "What hooks are still to be told."
    );
    metrics::describe_counter!(
        "deskbell_hook_attempts_total",
        "Attempts to tell hooks, by how they ended."
    );
    metrics::describe_gauge!("deskbell_queue_depth", "Changes that wait for the writer.");
    metrics::describe_gauge!(
        "deskbell_projection_lag",
        "Events that a projection has not seen yet."
    );
    metrics::describe_gauge!(
        "deskbell_channel_up",
        "1 where nothing is known to be wrong with a channel."
    );
    metrics::describe_gauge!(
        "deskbell_snapshot_age_seconds",
        "How old the newest snapshot of the store is."
    );
    metrics::describe_gauge!("deskbell_snapshot_bytes", "Bytes of the newest snapshot.");
    metrics::describe_gauge!(
        "deskbell_log_unsaved_bytes",
        "Bytes of the log behind the newest snapshot."
    );
    metrics::describe_gauge!(
        "deskbell_scrub_age_seconds",
        "Since when the tables were last compared with the log."
    );
    metrics::describe_gauge!(
        "deskbell_scrub_differences",
        "Rows that differed in the last comparison; they are made again."
    );
    metrics::describe_counter!(
        "deskbell_scrub_differences_total",
        "Rows that differed in all comparisons of this run."
    );
    metrics::describe_counter!(
        "deskbell_upkeep_failures_total",
        "Snapshots, scrubs and the dropping of what is old that failed."
    );
    metrics::describe_gauge!("deskbell_streams", "Open live streams.");
    metrics::describe_counter!(
        "deskbell_streams_dropped_total",
        "Streams that were too slow and were ended."
    );
    metrics::describe_counter!(
        "deskbell_stream_writes_total",
        "What was told to live streams: at once (direct), or by their own task (task)."
    );
    metrics::describe_counter!(
        "deskbell_fetches_total",
        "Attempts to fetch files of customers, by what came of them."
    );
    metrics::describe_counter!(
        "deskbell_virus_checks_total",
        "Files that were given to the virus check, by what it said."
    );
    metrics::describe_gauge!(
        "deskbell_virus_check_up",
        "1 where the virus check works; absent where there is none."
    );
    metrics::describe_gauge!(
        "deskbell_work_waiting",
        "Files and people that are still to be fetched or looked up."
    );
    metrics::describe_gauge!(
        "deskbell_work_oldest_seconds",
        "How old the oldest of them is."
    );
    metrics::describe_gauge!("deskbell_devices", "Devices that ring, by how they stand.");
    metrics::describe_counter!(
        "deskbell_tellings_total",
        "Attempts to tell browsers, by what came of them."
    );
    metrics::describe_counter!(
        "deskbell_rings_unheard_total",
        "Steps of rings that had nobody to tell, or that nobody had shown by the next."
    );
    handle
}
