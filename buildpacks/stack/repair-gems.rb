# Debian puts some gems' files outside of the gem directories. Bundler then takes those gems
# for deleted, because the directory that their specification names is missing. An empty
# directory is all it looks for; the files are found on Ruby's load path.
require "fileutils"

Gem::Specification.each do |spec|
  next if spec.default_gem? || File.directory?(spec.full_gem_path)

  FileUtils.mkdir_p(spec.full_gem_path)
  puts "made #{spec.full_gem_path}"
end
