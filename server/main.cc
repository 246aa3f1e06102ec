// larderd: the Larder server.
#include "server/larderd.h"

int main(int argc, char** argv) { return larder::server::RunLarderd(argc, argv); }
