/* Prints the addresses of a name, one a line, as the C library that it is linked with finds them. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	char text[INET6_ADDRSTRLEN];
	int error = getaddrinfo(argc > 1 ? argv[1] : "", "80", &hints, &list);
	if (error) {
		fprintf(stderr, "%s\n", gai_strerror(error));
		return 2;
	}
	for (a = list; a; a = a->ai_next) {
		const void *address = a->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)a->ai_addr)->sin_addr
		                                              : (void *)&((struct sockaddr_in6 *)a->ai_addr)->sin6_addr;
		puts(inet_ntop(a->ai_family, address, text, sizeof text));
	}
	return 0;
}
