// A Protobuf answer as JSON on stdout, every field shown. 64-bit integers are strings, as
// Protobuf's JSON mapping has them.
#pragma once

#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <string>

namespace larder::cli {

inline void PrintProtoJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  // Fails only for messages with unresolved Any fields; ours have none.
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  std::fputs(text.c_str(), stdout);
}

}  // namespace larder::cli
