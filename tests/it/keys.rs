//! Every key of the configuration language has a test that sees its effect on the wire.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The tables of `conf/reference.md`: each key and the test, by module and name, that sees what it does.
const KEYS: &[(&str, &[(&str, &str)])] = &[
    (
        "The file",
        &[
            ("include", "reload::an_included_file_is_loaded"),
            (
                "server",
                "limits::connections_of_all_listeners_together_have_a_cap",
            ),
            ("admin", "admin::health_and_readiness_are_told"),
            (
                "access_log",
                "access_log::a_json_record_tells_the_whole_story",
            ),
            ("log", "program_log::the_level_decides_what_is_written"),
            ("dns", "names::an_upstream_may_have_name_servers_of_its_own"),
            (
                "listener",
                "reload::listeners_are_added_and_removed_while_the_others_serve",
            ),
            ("route", "routing::no_route_is_404_with_its_reason"),
            (
                "upstream",
                "balance::round_robin_is_smooth_and_keeps_the_weights",
            ),
        ],
    ),
    (
        "[server]",
        &[
            ("workers", "limits::the_number_of_workers_is_configured"),
            ("drain", "drain::what_does_not_end_is_cut_at_the_deadline"),
            (
                "trusted_proxies",
                "forwarded::case_47_a_trusted_chain_is_read_from_right_to_left",
            ),
            (
                "zone",
                "sets::the_own_zone_goes_first_as_long_as_enough_of_it_is_healthy",
            ),
            (
                "max_connections",
                "limits::connections_of_all_listeners_together_have_a_cap",
            ),
            (
                "max_concurrent_requests",
                "per_client::all_listeners_together_serve_so_many_requests_at_once",
            ),
            (
                "overload",
                "strain::short_of_memory_only_what_matters_most_is_served_and_the_operator_sees_it",
            ),
        ],
    ),
    (
        "[server.overload]",
        &[
            (
                "max_memory",
                "strain::short_of_memory_only_what_matters_most_is_served_and_the_operator_sees_it",
            ),
            ("relieve_at", "strain::the_shares_decide_what_is_done"),
            ("shed_at", "strain::the_shares_decide_what_is_done"),
            (
                "relieve_delay",
                "strain::a_worker_that_is_behind_ends_connections_and_then_refuses_requests",
            ),
            (
                "shed_delay",
                "strain::a_worker_that_is_behind_ends_connections_and_then_refuses_requests",
            ),
        ],
    ),
    (
        "[admin]",
        &[
            ("enabled", "admin::the_admin_address_can_be_switched_off"),
            ("address", "start::an_admin_port_in_use_is_exit_code_1"),
        ],
    ),
    (
        "[access_log]",
        &[
            ("output", "access_log::the_log_may_go_to_standard_output"),
            (
                "format",
                "access_log::the_combined_format_is_what_other_tools_read",
            ),
            ("template", "access_log::a_template_writes_what_it_names"),
        ],
    ),
    (
        "[log]",
        &[
            ("level", "program_log::the_level_decides_what_is_written"),
            (
                "format",
                "program_log::text_is_for_people_and_without_colours_in_a_pipe",
            ),
        ],
    ),
    (
        "[dns]",
        &[
            (
                "servers",
                "names::an_upstream_may_have_name_servers_of_its_own",
            ),
            (
                "timeout",
                "names::a_name_server_that_says_nothing_holds_up_nobody",
            ),
            (
                "attempts",
                "names::a_question_is_asked_so_many_times_until_it_has_failed",
            ),
            ("min_ttl", "names::lifetimes_have_a_floor_and_a_ceiling"),
            ("max_ttl", "names::lifetimes_have_a_floor_and_a_ceiling"),
            (
                "ip",
                "names::all_addresses_of_a_name_are_endpoints_and_the_family_can_be_chosen",
            ),
        ],
    ),
    (
        "[[listener]]",
        &[
            (
                "name",
                "start::a_port_in_use_is_exit_code_1_and_names_the_listener",
            ),
            ("address", "reload::a_listener_moves_to_another_address"),
            (
                "tls",
                "tls::case_64_the_name_chooses_the_certificate_exact_over_wildcard_over_the_first",
            ),
            (
                "proxy_protocol",
                "proxy_protocol::both_versions_tell_who_the_client_is",
            ),
            (
                "h2c",
                "http2::a_listener_without_h2c_takes_the_preface_for_a_bad_request",
            ),
            (
                "handshake_timeout",
                "deadlines::case_37_a_handshake_that_does_not_come_or_trickles_is_given_up",
            ),
            (
                "head_timeout",
                "deadlines::case_34_a_head_that_trickles_is_given_up_all_the_same",
            ),
            (
                "idle_timeout",
                "deadlines::an_idle_connection_is_closed_without_a_record",
            ),
            (
                "body_timeout",
                "deadlines::case_35_a_body_that_stalls_is_given_up",
            ),
            (
                "min_body_rate",
                "bodies::case_35_a_body_that_trickles_is_cut_off_although_it_never_stalls",
            ),
            (
                "min_send_rate",
                "bodies::case_36_a_response_that_is_read_by_the_byte_is_cut_off",
            ),
            (
                "max_connection_age",
                "limits::a_connection_ends_in_order_when_it_is_old",
            ),
            (
                "max_body_size",
                "bodies::a_declared_body_that_is_too_large_is_refused_before_the_upstream_hears_of_it",
            ),
            (
                "max_connections",
                "limits::connections_beyond_the_cap_of_a_listener_are_closed_at_once",
            ),
            (
                "per_client",
                "per_client::one_client_cannot_take_all_connections",
            ),
            (
                "max_concurrent_requests",
                "per_client::a_listener_serves_so_many_requests_at_once",
            ),
            (
                "max_requests",
                "limits::case_38_a_connection_serves_so_many_requests",
            ),
            (
                "max_head_size",
                "limits::a_head_has_a_largest_size_and_number_of_fields",
            ),
            (
                "max_fields",
                "limits::a_head_has_a_largest_size_and_number_of_fields",
            ),
            (
                "max_target",
                "limits::a_head_has_a_largest_size_and_number_of_fields",
            ),
            (
                "max_streams",
                "http2::the_number_of_streams_is_announced_and_kept",
            ),
            (
                "http2",
                "http2_limits::frames_that_move_nothing_are_counted_as_configured",
            ),
        ],
    ),
    (
        "[listener.tls]",
        &[
            (
                "certificates",
                "tls::case_64_the_name_chooses_the_certificate_exact_over_wildcard_over_the_first",
            ),
            ("alpn", "http2::tls_without_h2_in_alpn_speaks_http1"),
            ("min_version", "tls::the_oldest_version_is_configured"),
            ("client_ca", "tls::clients_must_or_may_show_a_certificate"),
            ("client_auth", "tls::clients_must_or_may_show_a_certificate"),
        ],
    ),
    (
        "[listener.per_client]",
        &[
            (
                "max_connections",
                "per_client::one_client_cannot_take_all_connections",
            ),
            (
                "connection_rate",
                "per_client::one_client_cannot_connect_as_fast_as_it_likes",
            ),
            (
                "ipv6_prefix",
                "per_client::a_client_is_who_a_proxy_header_says_and_an_ipv6_client_is_its_prefix",
            ),
        ],
    ),
    (
        "[listener.http2]",
        &[
            ("stream_window", "http2_limits::the_windows_are_configured"),
            (
                "connection_window",
                "http2_limits::the_windows_are_configured",
            ),
            (
                "send_buffer",
                "http2_limits::a_response_is_held_in_pieces_of_the_configured_size",
            ),
            (
                "max_cancelled",
                "http2_limits::requests_that_are_given_up_are_counted_as_configured",
            ),
            (
                "max_error_resets",
                "http2_limits::resets_for_the_clients_errors_are_counted_as_configured",
            ),
            (
                "frames_period",
                "http2_limits::after_the_configured_time_the_count_begins_again",
            ),
            (
                "max_settings",
                "http2_limits::frames_that_move_nothing_are_counted_as_configured",
            ),
            (
                "max_pings",
                "http2_limits::frames_that_move_nothing_are_counted_as_configured",
            ),
            (
                "max_priorities",
                "http2_limits::frames_that_move_nothing_are_counted_as_configured",
            ),
            (
                "max_window_updates",
                "http2_limits::frames_that_move_nothing_are_counted_as_configured",
            ),
            (
                "max_unknown_frames",
                "http2_limits::frames_that_move_nothing_are_counted_as_configured",
            ),
            (
                "max_small_pieces",
                "http2_limits::case_28_windows_of_one_byte_are_counted_as_configured",
            ),
        ],
    ),
    (
        "[[listener.tls.certificates]]",
        &[
            (
                "certificate",
                "tls::a_renewed_certificate_is_read_without_a_reload",
            ),
            ("key", "tls::a_renewed_certificate_is_read_without_a_reload"),
        ],
    ),
    (
        "[[route]]",
        &[
            (
                "name",
                "metrics::requests_are_counted_by_what_became_of_them",
            ),
            (
                "hosts",
                "routing::an_exact_host_wins_over_a_wildcard_and_a_wildcard_over_any",
            ),
            (
                "path",
                "routing::a_path_is_exact_or_a_prefix_by_segments_or_has_captures_or_is_a_regex",
            ),
            (
                "path_regex",
                "routing::a_path_is_exact_or_a_prefix_by_segments_or_has_captures_or_is_a_regex",
            ),
            ("methods", "routing::conditions_narrow_a_route"),
            ("headers", "routing::conditions_narrow_a_route"),
            ("query", "routing::conditions_narrow_a_route"),
            ("clients", "routing::conditions_narrow_a_route"),
            ("priority", "routing::priority_stands_above_everything"),
            ("importance", "strain::the_shares_decide_what_is_done"),
            (
                "timeout",
                "failure::the_time_of_a_route_limits_the_whole_exchange",
            ),
            (
                "timeout_streams",
                "timeouts::the_time_of_a_route_cuts_bodies_and_streams_only_if_asked",
            ),
            (
                "connect_timeout",
                "timeouts::a_route_may_give_a_connection_less_time_than_its_upstream",
            ),
            (
                "tls_timeout",
                "timeouts::a_handshake_with_an_endpoint_has_its_own_time",
            ),
            (
                "response_timeout",
                "timeouts::a_route_may_wait_longer_for_the_head_than_its_upstream",
            ),
            (
                "send_timeout",
                "timeouts::an_endpoint_that_takes_no_more_of_the_request_is_given_up",
            ),
            (
                "read_timeout",
                "timeouts::a_body_that_stalls_is_broken_off_by_the_time_between_its_parts",
            ),
            (
                "stream_idle_timeout",
                "timeouts::an_event_stream_has_an_idle_time_of_its_own",
            ),
            (
                "tunnel_idle_timeout",
                "timeouts::a_route_has_its_own_idle_time_for_tunnels",
            ),
            (
                "retry",
                "retry::what_a_route_says_holds_in_place_of_its_upstream",
            ),
            (
                "max_body_size",
                "bodies::a_route_has_its_own_size_of_bodies",
            ),
            (
                "min_body_rate",
                "bodies::a_route_has_its_own_rate_of_bodies",
            ),
            ("filters", "filters::filters_work_the_same_over_http2"),
            ("upstream", "routing::a_split_keeps_its_weights"),
            (
                "subset",
                "sets::a_route_or_a_share_of_a_split_chooses_the_subset",
            ),
            ("split", "routing::a_split_keeps_its_weights"),
            (
                "redirect",
                "routing::a_redirect_keeps_the_rest_of_the_path_and_the_query",
            ),
            (
                "respond",
                "routing::a_fixed_answer_has_its_status_its_fields_and_its_body",
            ),
        ],
    ),
    (
        "[[route.filters]] of kind request_headers",
        &[
            (
                "set",
                "filters::request_headers_removes_then_sets_then_adds",
            ),
            (
                "add",
                "filters::request_headers_removes_then_sets_then_adds",
            ),
            (
                "remove",
                "filters::request_headers_removes_then_sets_then_adds",
            ),
        ],
    ),
    (
        "[[route.filters]] of kind response_headers",
        &[
            (
                "set",
                "filters::response_headers_edits_answers_of_the_upstream_and_of_the_gateway",
            ),
            (
                "add",
                "filters::response_headers_edits_answers_of_the_upstream_and_of_the_gateway",
            ),
            (
                "remove",
                "filters::response_headers_edits_answers_of_the_upstream_and_of_the_gateway",
            ),
        ],
    ),
    (
        "[[route.filters]] of kind rewrite",
        &[
            (
                "path",
                "filters::rewrite_changes_path_and_host_and_keeps_the_query",
            ),
            (
                "strip_prefix",
                "filters::rewrite_changes_path_and_host_and_keeps_the_query",
            ),
            (
                "add_prefix",
                "filters::rewrite_changes_path_and_host_and_keeps_the_query",
            ),
            (
                "host",
                "filters::rewrite_changes_path_and_host_and_keeps_the_query",
            ),
        ],
    ),
    (
        "[[route.filters]] of kind request_id",
        &[
            (
                "header",
                "filters::request_id_ties_client_upstream_and_log_together",
            ),
            (
                "trust",
                "filters::request_id_ties_client_upstream_and_log_together",
            ),
        ],
    ),
    (
        "[[route.split]]",
        &[
            ("upstream", "routing::a_split_keeps_its_weights"),
            ("weight", "routing::a_split_keeps_its_weights"),
            (
                "subset",
                "sets::a_route_or_a_share_of_a_split_chooses_the_subset",
            ),
        ],
    ),
    (
        "[route.redirect]",
        &[
            (
                "to",
                "routing::a_redirect_keeps_the_rest_of_the_path_and_the_query",
            ),
            (
                "status",
                "routing::a_redirect_keeps_the_rest_of_the_path_and_the_query",
            ),
        ],
    ),
    (
        "[route.respond]",
        &[
            (
                "status",
                "routing::a_fixed_answer_has_its_status_its_fields_and_its_body",
            ),
            (
                "body",
                "routing::a_fixed_answer_has_its_status_its_fields_and_its_body",
            ),
            (
                "headers",
                "routing::a_fixed_answer_has_its_status_its_fields_and_its_body",
            ),
        ],
    ),
    (
        "[upstream.NAME]",
        &[
            (
                "balance",
                "balance::least_connections_counts_across_workers_and_by_weight",
            ),
            ("hash", "balance::a_hash_keeps_each_key_at_its_endpoint"),
            (
                "hash_load_bound",
                "balance::a_hot_key_spills_over_unless_there_is_no_bound",
            ),
            (
                "endpoints",
                "balance::an_endpoint_that_refuses_is_set_aside",
            ),
            ("dns", "names::an_upstream_may_have_name_servers_of_its_own"),
            (
                "panic_threshold",
                "balance::below_the_panic_threshold_the_sick_get_requests_too",
            ),
            (
                "zone_spill_below",
                "sets::what_is_too_much_for_the_own_zone_spills_over",
            ),
            ("subset", "sets::a_header_field_chooses_the_subset"),
            ("sticky", "sticky::a_cookie_keeps_a_client_at_its_endpoint"),
            (
                "slow_start",
                "balance::an_endpoint_that_joins_gets_its_share_slowly",
            ),
            ("protocol", "http2::http2_upstreams_are_spoken_to_in_http2"),
            (
                "tls",
                "upstream_tls::an_upstream_is_verified_by_its_name_and_authority",
            ),
            (
                "connect_timeout",
                "failure::a_connection_that_does_not_come_about_is_504",
            ),
            (
                "response_timeout",
                "failure::a_response_that_does_not_come_is_504",
            ),
            (
                "tls_timeout",
                "timeouts::a_handshake_with_an_endpoint_has_its_own_time",
            ),
            (
                "send_timeout",
                "timeouts::an_endpoint_that_takes_no_more_of_the_request_is_given_up",
            ),
            (
                "read_timeout",
                "timeouts::a_body_that_stalls_is_broken_off_by_the_time_between_its_parts",
            ),
            (
                "stream_idle_timeout",
                "timeouts::an_event_stream_has_an_idle_time_of_its_own",
            ),
            (
                "retry",
                "retry::a_status_that_is_listed_is_tried_at_another_endpoint",
            ),
            (
                "idle_timeout",
                "deadlines::an_idle_upstream_connection_is_closed_after_its_time",
            ),
            (
                "max_idle",
                "limits::only_so_many_idle_upstream_connections_are_kept",
            ),
            (
                "tunnel_idle_timeout",
                "websocket::a_silent_tunnel_is_closed_after_its_time",
            ),
            (
                "limits",
                "overload::what_is_above_the_limit_of_an_upstream_is_503",
            ),
            (
                "adaptive",
                "overload::an_adaptive_limit_finds_out_what_the_upstream_takes",
            ),
            (
                "breaker",
                "breaker::it_opens_at_a_share_of_failures_and_closes_after_good_trials",
            ),
            (
                "health",
                "health::a_sick_endpoint_leaves_its_requests_to_the_others",
            ),
            (
                "outlier",
                "outliers::failures_in_a_row_eject_an_endpoint_at_once",
            ),
        ],
    ),
    (
        "[upstream.NAME.adaptive]",
        &[
            (
                "min",
                "overload::the_bounds_of_an_adaptive_limit_are_configured",
            ),
            (
                "max",
                "overload::the_bounds_of_an_adaptive_limit_are_configured",
            ),
            (
                "tolerance",
                "overload::what_is_taken_for_normal_is_configured",
            ),
            (
                "window",
                "overload::the_bounds_of_an_adaptive_limit_are_configured",
            ),
        ],
    ),
    (
        "[upstream.NAME.breaker]",
        &[
            (
                "failure_share",
                "breaker::it_opens_at_a_share_of_failures_and_closes_after_good_trials",
            ),
            ("window", "breaker::failures_of_long_ago_do_not_count"),
            (
                "minimum_requests",
                "breaker::it_opens_at_a_share_of_failures_and_closes_after_good_trials",
            ),
            (
                "consecutive_failures",
                "breaker::failures_in_a_row_of_every_kind_open_it",
            ),
            (
                "failure_status",
                "breaker::what_counts_as_a_failure_is_configured",
            ),
            (
                "open_for",
                "breaker::a_trial_that_fails_opens_it_for_longer",
            ),
            (
                "max_open_for",
                "breaker::a_trial_that_fails_opens_it_for_longer",
            ),
            (
                "trials",
                "breaker::it_opens_at_a_share_of_failures_and_closes_after_good_trials",
            ),
        ],
    ),
    (
        "[upstream.NAME.limits]",
        &[
            (
                "requests",
                "overload::what_is_above_the_limit_of_an_upstream_is_503",
            ),
            (
                "endpoint_requests",
                "overload::an_endpoint_at_its_limit_leaves_requests_to_the_others",
            ),
            (
                "connections",
                "overload::all_connections_of_an_upstream_have_a_limit",
            ),
            (
                "endpoint_connections",
                "overload::connections_to_an_endpoint_have_a_limit_over_all_workers",
            ),
            ("queue", "overload::a_full_queue_takes_nobody"),
            (
                "queue_timeout",
                "overload::who_waits_too_long_is_answered_with_503",
            ),
        ],
    ),
    (
        "[upstream.NAME.dns]",
        &[
            (
                "servers",
                "names::an_upstream_may_have_name_servers_of_its_own",
            ),
            (
                "timeout",
                "names::a_name_server_that_says_nothing_holds_up_nobody",
            ),
            (
                "attempts",
                "names::a_question_is_asked_so_many_times_until_it_has_failed",
            ),
            ("min_ttl", "names::lifetimes_have_a_floor_and_a_ceiling"),
            ("max_ttl", "names::lifetimes_have_a_floor_and_a_ceiling"),
            (
                "ip",
                "names::all_addresses_of_a_name_are_endpoints_and_the_family_can_be_chosen",
            ),
        ],
    ),
    (
        "[upstream.NAME.retry] and [route.retry]",
        &[
            (
                "attempts",
                "retry::the_last_answer_is_passed_on_when_there_were_enough_attempts",
            ),
            (
                "on",
                "retry::a_reset_is_followed_by_another_attempt_if_it_is_listed_and_the_method_allows_it",
            ),
            (
                "status",
                "retry::a_status_that_is_listed_is_tried_at_another_endpoint",
            ),
            ("grpc", "retry::a_grpc_status_that_is_listed_is_tried_again"),
            ("methods", "retry::the_methods_say_what_may_be_sent_twice"),
            ("per_try_timeout", "retry::an_attempt_has_its_own_time"),
            ("backoff", "retry::the_pauses_are_configured"),
            ("max_backoff", "retry::the_pauses_are_configured"),
            (
                "max_retry_after",
                "retry::a_pause_that_is_too_long_is_the_clients_to_make",
            ),
            ("buffer", "retry::a_body_over_the_buffer_is_sent_once"),
            (
                "budget",
                "retry::case_76_retries_stay_within_the_budget_when_everything_fails",
            ),
        ],
    ),
    (
        "[upstream.NAME.retry.budget]",
        &[
            (
                "share",
                "retry::the_budget_holds_for_failed_connections_too",
            ),
            (
                "floor",
                "retry::case_76_retries_stay_within_the_budget_when_everything_fails",
            ),
        ],
    ),
    (
        "[[upstream.NAME.endpoints]]",
        &[
            ("address", "balance::endpoints_may_be_host_names"),
            (
                "srv",
                "names::srv_records_say_hosts_ports_weights_and_priorities",
            ),
            (
                "weight",
                "balance::round_robin_is_smooth_and_keeps_the_weights",
            ),
            ("backup", "balance::a_backup_serves_only_while_no_other_can"),
            ("tier", "sets::tiers_are_used_one_after_the_other"),
            (
                "zone",
                "sets::the_own_zone_goes_first_as_long_as_enough_of_it_is_healthy",
            ),
            ("labels", "sets::a_header_field_chooses_the_subset"),
        ],
    ),
    (
        "[upstream.NAME.subset]",
        &[
            ("label", "sets::a_header_field_chooses_the_subset"),
            ("header", "sets::a_header_field_chooses_the_subset"),
            (
                "default",
                "sets::requests_that_name_no_subset_may_have_a_default",
            ),
            (
                "fallback",
                "sets::who_serves_instead_of_a_subset_is_configured",
            ),
        ],
    ),
    (
        "[upstream.NAME.sticky]",
        &[
            ("cookie", "sticky::a_cookie_keeps_a_client_at_its_endpoint"),
            (
                "secret",
                "sticky::a_cookie_says_nothing_of_the_endpoint_and_cannot_be_made_up",
            ),
            (
                "ttl",
                "sticky::a_session_that_is_used_is_prolonged_before_it_ends",
            ),
            (
                "path",
                "sticky::the_cookie_has_the_attributes_that_are_configured",
            ),
            (
                "domain",
                "sticky::the_cookie_has_the_attributes_that_are_configured",
            ),
            ("secure", "sticky::over_tls_the_cookie_is_for_tls_alone"),
            (
                "same_site",
                "sticky::the_cookie_has_the_attributes_that_are_configured",
            ),
        ],
    ),
    (
        "[upstream.NAME.tls]",
        &[
            (
                "server_name",
                "upstream_tls::an_upstream_is_verified_by_its_name_and_authority",
            ),
            (
                "ca",
                "upstream_tls::an_upstream_is_verified_by_its_name_and_authority",
            ),
            (
                "certificate",
                "upstream_tls::the_gateway_shows_its_own_certificate_to_an_upstream_that_asks",
            ),
            (
                "key",
                "upstream_tls::the_gateway_shows_its_own_certificate_to_an_upstream_that_asks",
            ),
            (
                "verify",
                "upstream_tls::an_upstream_is_verified_by_its_name_and_authority",
            ),
        ],
    ),
    (
        "[upstream.NAME.outlier]",
        &[
            (
                "consecutive_failures",
                "outliers::failures_in_a_row_eject_an_endpoint_at_once",
            ),
            (
                "failure_share",
                "outliers::a_share_of_failures_ejects_an_endpoint_that_had_enough_requests",
            ),
            (
                "latency",
                "outliers::an_endpoint_that_is_much_slower_than_the_others_is_ejected",
            ),
            (
                "minimum_requests",
                "outliers::a_share_of_failures_ejects_an_endpoint_that_had_enough_requests",
            ),
            (
                "failure_status",
                "outliers::which_statuses_are_failures_is_configured",
            ),
            (
                "interval",
                "outliers::a_share_of_failures_ejects_an_endpoint_that_had_enough_requests",
            ),
            (
                "ejection_time",
                "outliers::an_ejection_has_its_time_and_a_longest_one",
            ),
            (
                "max_ejection_time",
                "outliers::an_ejection_has_its_time_and_a_longest_one",
            ),
            (
                "max_ejected",
                "outliers::so_much_of_a_pool_is_ejected_and_no_more",
            ),
        ],
    ),
    (
        "[upstream.NAME.health]",
        &[
            ("kind", "checks::a_tcp_check_only_connects"),
            (
                "path",
                "health::so_many_failures_and_successes_in_a_row_change_the_state",
            ),
            (
                "method",
                "checks::a_check_has_its_method_its_path_and_its_fields",
            ),
            (
                "host",
                "health::the_expected_statuses_and_the_host_are_configured",
            ),
            (
                "headers",
                "checks::a_check_has_its_method_its_path_and_its_fields",
            ),
            (
                "expected_status",
                "health::the_expected_statuses_and_the_host_are_configured",
            ),
            (
                "body",
                "checks::the_body_decides_with_a_text_or_an_expression",
            ),
            (
                "service",
                "checks::a_grpc_check_asks_the_health_service_for_its_service",
            ),
            ("port", "checks::a_check_may_ask_at_another_port"),
            (
                "tls",
                "checks::checks_speak_tls_as_requests_do_or_as_they_are_told",
            ),
            (
                "initial",
                "checks::an_endpoint_may_have_to_wait_for_its_first_check",
            ),
            (
                "interval",
                "health::so_many_failures_and_successes_in_a_row_change_the_state",
            ),
            (
                "unhealthy_interval",
                "checks::an_unhealthy_endpoint_may_be_asked_more_often",
            ),
            ("jitter", "checks::intervals_vary_by_their_jitter"),
            (
                "timeout",
                "health::a_check_that_takes_too_long_is_a_failure",
            ),
            (
                "unhealthy_after",
                "health::so_many_failures_and_successes_in_a_row_change_the_state",
            ),
            (
                "healthy_after",
                "health::so_many_failures_and_successes_in_a_row_change_the_state",
            ),
        ],
    ),
    (
        "[upstream.NAME.health.body]",
        &[
            (
                "contains",
                "checks::the_body_decides_with_a_text_or_an_expression",
            ),
            (
                "regex",
                "checks::the_body_decides_with_a_text_or_an_expression",
            ),
        ],
    ),
];

#[test]
fn every_key_of_the_reference_has_a_test() {
    let tested: BTreeSet<(String, String)> = KEYS
        .iter()
        .flat_map(|(table, keys)| {
            keys.iter()
                .map(|(key, _test)| ((*table).to_owned(), (*key).to_owned()))
        })
        .collect();
    let known = keys_of_the_reference();
    let untested: Vec<_> = known.difference(&tested).collect();
    assert!(untested.is_empty(), "keys without a test: {untested:?}");
    let stale: Vec<_> = tested.difference(&known).collect();
    assert!(stale.is_empty(), "keys that are no more: {stale:?}");
}

#[test]
fn every_test_that_is_named_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for (_key, test) in KEYS.iter().flat_map(|(_table, keys)| *keys) {
        let (module, name) = test.split_once("::").expect("module and test");
        let path = folder.join(format!("{module}.rs"));
        let text = fs::read_to_string(&path).expect("the module of a test");
        let before = text.split(&format!("\nasync fn {name}(")).next();
        let attribute = before.and_then(|before| before.lines().next_back());
        assert!(
            attribute.is_some_and(|line| line.starts_with("#[tokio::test")),
            "{test} is no test"
        );
    }
}

/// Each table of `conf/reference.md`, by its heading without backticks, with each of its keys.
fn keys_of_the_reference() -> BTreeSet<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/reference.md");
    let text = fs::read_to_string(path).expect("conf/reference.md");
    let mut table = String::new();
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = heading.replace('`', "");
        } else if let Some((key, _rest)) =
            line.strip_prefix("| `").and_then(|row| row.split_once('`'))
        {
            keys.insert((table.clone(), key.to_owned()));
        }
    }
    assert!(
        keys.len() > 50,
        "the reference is not what it was: {keys:?}"
    );
    keys
}
