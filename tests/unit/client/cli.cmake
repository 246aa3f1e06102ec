# Unit tests of the `larder` command line; included by CMakeLists.txt beside this file.
larder_test(
  NAME client_cli_test
  SOURCES
    cli/attention_error_test.cc
    cli/bench_test.cc
    cli/buffer_pool_test.cc
    cli/codec_archive_test.cc
    cli/codec_eval_test.cc
    cli/exit_code_test.cc
    cli/hash_tokens_test.cc
    cli/inner_product_error_test.cc
    cli/kv_cache_test.cc
    cli/kv_profile_test.cc
    cli/latency_histogram_test.cc
    cli/manifest_file_test.cc
    cli/models_test.cc
    cli/progress_test.cc
    cli/quantity_test.cc
    cli/replay_summary_test.cc
    cli/replay_test.cc
    cli/safetensors_test.cc
    cli/stats_text_test.cc
    cli/synthetic_kv_test.cc
    cli/table_test.cc
    cli/trace_generator_test.cc
    cli/trace_test.cc
  LIBS larder::cli
  LABELS unit)
# The real trace beside the checkout, where there is one; its tests skip visibly otherwise.
target_compile_definitions(client_cli_test PRIVATE
  LARDER_CONVERSATION_TRACE="${PROJECT_SOURCE_DIR}/../shared/traces/conversation_trace.jsonl")
