#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <string>

#include "images/downloads.hpp"

namespace dockerd::engine {

/// One blob being fetched into a file.
class Download : public std::enable_shared_from_this<Download> {
public:
    Download(Downloads& owner, std::string digest, std::int64_t size)
        : owner_(owner), digest_(std::move(digest)), size_(size) {}
    Download(const Download&) = delete;
    Download& operator=(const Download&) = delete;
    ~Download() = default;

    [[nodiscard]] Downloads& owner() const { return owner_; }
    [[nodiscard]] const std::string& digest() const { return digest_; }
    /// The file's name below the folder of all.
    [[nodiscard]] std::string file_name() const { return digest_.substr(digest_.find(':') + 1); }
    /// Fetches until it is complete, failed or wanted by nobody.
    void run();
    /// Tells its clients that it has to wait for others.
    void tell_waiting();

    /// -1 when it is over without success.
    int join(DownloadClient client);
    /// False when nobody is left; then what runs ends.
    bool leave(int client);
    /// The client leaves satisfied: should it be the last one, what came is of no use.
    void not_needed(int client);
    [[nodiscard]] bool has_clients() const;
    [[nodiscard]] bool is_complete() const;
    void give_up();
    /// Ends it whoever wants it. Thread: any.
    void stop();
    /// What could not even be begun.
    void fail(std::exception_ptr failure) { end(Phase::failed, std::move(failure)); }

    std::size_t read(std::span<char> buffer, std::int64_t offset, int& generation,
                     const base::Cancellation& cancellation);
    [[nodiscard]] std::int64_t total() const;
    /// Whether what came is the beginning of the blob, as far as is known, not all of it, and of use.
    [[nodiscard]] bool is_worth_keeping() const;
    void wait(const base::Cancellation& cancellation);

private:
    enum class Phase { waiting, running, complete, failed, abandoned };
    struct Client {
        int id = 0;
        DownloadClient calls;
    };

    void fetch();
    void attempt(const Client& client);
    void receive(registry::Repository::Blob blob);
    void verify(bool resumed);
    void wait_to_retry(std::int64_t seconds);
    void adopt_file();
    void start_over();
    [[nodiscard]] bool first_client(Client& out);
    [[nodiscard]] bool is_out(const Client& client);
    void step(const std::string& action);
    void end(Phase phase, std::exception_ptr failure);

    Downloads& owner_;
    const std::string digest_;
    const std::int64_t size_;
    base::Fd file_;
    std::unique_ptr<archive::Sha256> hash_;  ///< the running thread's
    bool resumed_ = false;                   ///< not all of the file was received by this thread

    mutable base::Mutex mutex_;
    std::condition_variable_any changed_;
    std::map<int, DownloadClient> clients_;
    int next_client_ = 0;
    base::CancellationPtr attempt_;  ///< of the attempt that runs
    bool stopped_ = false;
    bool useless_ = false;  ///< the last client had no need of it
    bool final_ = false;  ///< what it failed with the next one would meet as well
    Phase phase_ = Phase::waiting;
    std::int64_t received_ = 0;
    std::int64_t total_ = -1;
    int generation_ = 0;
    std::exception_ptr failure_;
};

}  // namespace dockerd::engine
