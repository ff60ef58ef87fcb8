from bursar.cli import main

main()
