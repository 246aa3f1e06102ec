#include "server/config.h"

#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "proto/contract/errors.h"
#include "server/config_fields.h"

namespace larder::server {
namespace {

constexpr char kExamples[] = R"(Examples:
  larderd --dram-bytes 64GiB
  larderd --config larderd.yaml --log-level debug    (flags win over the file)
  larderd --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0    (free ports: see the ready line)
)";

// The file's text, or nullopt when it can not be read whole.
std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kConfigFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.eof() || file.bad()) return std::nullopt;
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// What the command line gives, still as text.
struct CommandLine {
  std::optional<std::string> config_path;
  std::vector<std::pair<ConfigField, std::string>> flags;  // those present
};

// An empty optional: --help or --version, answered.
absl::StatusOr<std::optional<CommandLine>> ParseCommandLine(int argc, const char* const* argv) {
  const std::vector<ConfigField> fields = ConfigFields();
  const Config defaults;
  CLI::App app("The Larder server: a shared, compressed prefix cache for LLM serving.", "larderd");
  app.set_version_flag("--version", std::string("larderd ") + LARDER_VERSION);
  app.footer(kExamples);
  std::string config_path;
  CLI::Option* config_option =
      app.add_option("--config", config_path, "YAML file with the fields below")->type_name("FILE");
  std::vector<std::string> values(fields.size());  // never resized: CLI11 keeps references
  std::vector<CLI::Option*> options;
  for (size_t i = 0; i < fields.size(); ++i) {
    options.push_back(app.add_option(fields[i].flag(), values[i],
                                     absl::StrCat(fields[i].help, ": ", fields[i].expected))
                          ->type_name(fields[i].placeholder)
                          ->default_str(fields[i].format(defaults)));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& answered) {  // --help, --version
    app.exit(answered, std::cout, std::cout);
    return std::optional<CommandLine>();
  } catch (const CLI::Error& error) {
    return StatusOf({absl::StrCat("command line: ", error.what(), "; see larderd --help")});
  }
  CommandLine line;
  if (config_option->count() > 0) line.config_path = config_path;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (options[i]->count() > 0) line.flags.emplace_back(fields[i], values[i]);
  }
  return std::make_optional(std::move(line));
}

}  // namespace

absl::Status Config::Validate() const {
  Faults faults;
  CheckRanges(*this, faults);
  return StatusOf(faults);
}

absl::StatusOr<std::optional<Config>> ConfigFromCommandLine(int argc, const char* const* argv) {
  auto line = ParseCommandLine(argc, argv);
  if (!line.ok()) return line.status();
  if (!line->has_value()) return std::optional<Config>();
  Config config;
  Faults faults;
  if (const auto& path = (*line)->config_path) {
    if (const auto yaml = ReadFile(*path)) {
      OverlayYaml(*yaml, *path, config, faults);
    } else {
      faults.push_back(
          Fault("--config", *path,
                absl::StrCat("a readable file of at most ", FormatBytes(kConfigFileBytesMax)),
                "check path and permissions"));
    }
  }
  for (const auto& [field, text] : (*line)->flags)
    ParseField(field, field.flag(), text, config, faults);
  CheckRanges(config, faults);
  if (absl::Status status = StatusOf(faults); !status.ok()) return status;
  return std::make_optional(std::move(config));
}

}  // namespace larder::server
