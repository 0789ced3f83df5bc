// Holds a pod's namespaces open: waits for a signal to end, and reaps the orphans of a shared process namespace.
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>

int main(void) {
    sigset_t waited_for;
    sigemptyset(&waited_for);
    sigaddset(&waited_for, SIGINT);
    sigaddset(&waited_for, SIGTERM);
    sigaddset(&waited_for, SIGCHLD);
    // As process 1 nothing has a default action, so signals are blocked and taken one by one.
    if (sigprocmask(SIG_BLOCK, &waited_for, NULL) != 0) {
        return EXIT_FAILURE;
    }
    for (;;) {
        int received = 0;
        if (sigwait(&waited_for, &received) != 0) {
            return EXIT_FAILURE;
        }
        if (received != SIGCHLD) {
            return EXIT_SUCCESS;
        }
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
}
