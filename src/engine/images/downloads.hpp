#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <dockerd/archive/stream.hpp>
#include <dockerd/base/cancellation.hpp>
#include <dockerd/base/fd.hpp>
#include <dockerd/base/mutex.hpp>
#include <dockerd/base/worker_pool.hpp>
#include <dockerd/registry/repository.hpp>

namespace dockerd::engine {

class Download;

/// How one who wants a blob gets at it, and hears of it.
struct DownloadClient {
    /// Asks the registry for the blob from an offset on; its waits end with `cancellation`.
    std::function<registry::Repository::Blob(std::int64_t offset,
                                             const base::CancellationPtr& cancellation)>
        open;
    /// "Waiting", "Retrying in 5 seconds", "Verifying Checksum", "Download complete".
    std::function<void(const std::string& action)> step;
    std::function<void(std::int64_t current, std::int64_t total)> bytes;
    /// Of the one who wants it.
    base::CancellationPtr cancellation;
};

/// A hold of a download; without holds it is given up.
class DownloadTicket {
public:
    DownloadTicket(std::shared_ptr<Download> download, int client);
    DownloadTicket(const DownloadTicket&) = delete;
    DownloadTicket& operator=(const DownloadTicket&) = delete;
    ~DownloadTicket();

    /// The blob's bytes from the start, as they come; the end only after they were verified.
    /// Throws what the download failed with; Restarted; "context canceled".
    [[nodiscard]] archive::ByteSource source(const base::CancellationPtr& cancellation) const;
    /// Of the blob; -1 while it is not known.
    [[nodiscard]] std::int64_t total() const;
    [[nodiscard]] bool is_complete() const;
    /// Waits until all bytes are here and verified. Throws as source().
    void wait(const base::CancellationPtr& cancellation) const;
    /// What the blob holds is here by another way: if nobody else wants it, nothing of it is kept.
    void not_needed() const;

    /// What was read of a source is not the beginning of the blob any more: read again.
    struct Restarted {};

private:
    std::shared_ptr<Download> download_;
    int client_;
};

/// Blobs being fetched. The same blob wanted by several is fetched once; what breaks off is kept,
/// and gone on with by the next who wants it, also after a restart of the daemon. What nobody wants
/// any more ends at once; of what is kept there is a most.
///
/// The bytes go into a file from which they are read while it grows, so that neither a slow disk
/// stops the network nor the memory grows.
/// Thread: any.
class Downloads {
public:
    struct Limits {
        std::int64_t concurrent = 3;  ///< 0: as many as are wanted
        std::int64_t attempts = 5;
    };
    /// Keeps files in `folder`, made if it is missing; those older than a day are removed.
    Downloads(const std::string& folder, Limits limits);
    Downloads(const Downloads&) = delete;
    Downloads& operator=(const Downloads&) = delete;
    /// Ends what still runs.
    ~Downloads();

    void set_limits(Limits limits);
    /// Fetches a blob of `size` bytes (0 or less: unknown).
    std::shared_ptr<DownloadTicket> fetch(const std::string& digest, std::int64_t size,
                                          DownloadClient client);

private:
    friend class Download;
    friend class DownloadTicket;
    /// The file a blob goes into. Throws: internal, "open layer file: ...".
    [[nodiscard]] base::Fd open_file(const std::string& name);
    void start_waiting();
    void finished(Download& download);
    void sweep();
    [[nodiscard]] bool is_current(const Download& download) const;
    static void leave(const std::shared_ptr<Download>& download, int client);
    void left(const std::shared_ptr<Download>& download, int client);

    const std::string path_;
    base::Fd folder_;
    base::Mutex mutex_;
    Limits limits_;
    std::int64_t active_ = 0;
    bool closing_ = false;
    std::map<std::string, std::weak_ptr<Download>> by_digest_;
    std::deque<std::shared_ptr<Download>> waiting_;
    base::WorkerPool pool_;  ///< last: its jobs use what is above
};

}  // namespace dockerd::engine
