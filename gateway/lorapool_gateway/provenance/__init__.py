"""Pictures that say who made them: signed with a C2PA manifest, and read when somebody asks whose one is."""
