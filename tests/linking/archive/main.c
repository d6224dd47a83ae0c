/* A C program that links the static library beside it. */
void wsx_linking_report(void);

int main(void) {
    wsx_linking_report();
    return 0;
}
