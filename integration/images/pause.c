/* The pause image's program: waits for the signal that ends it. Peers of crisp run it as each pod's sandbox. */
#include <signal.h>
#include <unistd.h>

static void leave(int signal_number)
{
	(void)signal_number;
	_exit(0);
}

int main(void)
{
	signal(SIGTERM, leave);
	signal(SIGINT, leave);
	for (;;)
		pause();
}
